module github.com/libbitnet/libbitnet/bindings/go

go 1.19
