package bitnet_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"time"

	bitnet "github.com/libbitnet/libbitnet/bindings/go"
)

// A question and its answer, piece by piece.
func Example() {
	model, err := bitnet.OpenModel("../../samples/models/bitnet-nano.gguf", nil)
	if err != nil {
		log.Fatal(err)
	}
	defer model.Close()
	c, err := model.NewContext(nil)
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	reply, err := c.NewGenerator(&bitnet.GenerateOptions{
		Messages: []bitnet.Message{{Role: "user", Content: "What is the capital of France?"}},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer reply.Close()
	for {
		piece, err := reply.Next(context.Background())
		if err == io.EOF {
			break
		}
		if err != nil {
			log.Fatal(err)
		}
		fmt.Print(piece)
	}
	// Output: The capital of France is Paris.
}

// Statuses are errors to compare with; the error itself is the sentence to show.
func ExampleError() {
	_, err := bitnet.OpenModel("no-such-model.gguf", nil)
	fmt.Println(errors.Is(err, bitnet.ErrIO))
	var reason *bitnet.Error
	if errors.As(err, &reason) {
		fmt.Println(reason.Status)
		fmt.Println(reason.Message)
	}
	// Output:
	// true
	// BITNET_E_IO
	// no-such-model.gguf: cannot open: no such file
}

// A context.Context ends a call; the next one goes on where that stopped.
func ExampleGenerator_Next_cancelled() {
	model, err := bitnet.OpenModel("../../samples/models/bitnet-nano.gguf", nil)
	if err != nil {
		log.Fatal(err)
	}
	defer model.Close()
	c, err := model.NewContext(nil)
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	reply, err := c.NewGenerator(&bitnet.GenerateOptions{
		Messages: []bitnet.Message{{Role: "user", Content: "Who are you?"}},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer reply.Close()

	ctx, cancel := context.WithTimeout(context.Background(), time.Nanosecond)
	defer cancel()
	<-ctx.Done()
	_, err = reply.Next(ctx)
	fmt.Println(errors.Is(err, bitnet.ErrCancelled), errors.Is(err, context.DeadlineExceeded))
	piece, err := reply.Next(context.Background())
	fmt.Println(piece != "", err)
	// Output:
	// true true
	// true <nil>
}

// Decoding by hand: a prompt is read, then one token after the other is picked and read.
func ExampleContext_Decode() {
	model, err := bitnet.OpenModel("../../samples/models/bitnet-nano.gguf", nil)
	if err != nil {
		log.Fatal(err)
	}
	defer model.Close()
	c, err := model.NewContext(nil)
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	sampler, err := bitnet.NewSampler(nil) // greedy
	if err != nil {
		log.Fatal(err)
	}
	defer sampler.Close()
	tokens, err := model.ChatTokenize([]bitnet.Message{{Role: "user", Content: "What is the opposite of cold?"}}, "")
	if err != nil {
		log.Fatal(err)
	}

	ctx := context.Background()
	var batch []bitnet.BatchEntry
	for i, token := range tokens {
		batch = append(batch, bitnet.BatchEntry{Token: token, Position: int32(i)})
	}
	position := int32(len(tokens))
	for {
		last := len(batch) - 1
		batch[last].Want = bitnet.WantSample
		if err := c.Decode(ctx, batch); err != nil {
			log.Fatal(err)
		}
		token, err := c.Sample(ctx, last, 0, sampler)
		if err != nil {
			log.Fatal(err)
		}
		if end, err := model.TokenIsEnd(token); end || err != nil {
			break
		}
		if err := sampler.Accept(token); err != nil {
			log.Fatal(err)
		}
		piece, err := model.TokenPiece(token, 0)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Print(piece)
		batch = []bitnet.BatchEntry{{Token: token, Position: position}}
		position++
	}
	// Output: The opposite of cold is hot.
}
