//go:build go1.23

package bitnet

import (
	"context"
	"io"
	"iter"
)

// All gives the pieces of the reply that are still to come, for a range loop. An error is the last element; the end of
// the reply is none. Leaving the loop early leaves the rest to Next or another loop. Needs Go 1.23.
//
//	for piece, err := range reply.All(ctx) {
//		if err != nil {
//			return err
//		}
//		fmt.Print(piece)
//	}
func (g *Generator) All(ctx context.Context) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		for {
			piece, err := g.Next(ctx)
			if err == io.EOF || !yield(piece, err) || err != nil {
				return
			}
		}
	}
}
