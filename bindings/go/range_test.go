//go:build go1.23

package bitnet_test

import (
	"context"
	"testing"
)

func TestRange(t *testing.T) {
	_, c := small(t, nil)
	g := ask(t, c, question)
	reply := ""
	for piece, err := range g.All(background) {
		check(t, err)
		reply += piece
		break
	}
	ctx, cancel := context.WithCancel(background)
	cancel()
	for piece, err := range g.All(ctx) {
		if piece != "" || err == nil {
			t.Errorf("found '%s', %v, expected an error", piece, err)
		}
		stopped(t, err, context.Canceled)
	}
	for piece, err := range g.All(background) {
		check(t, err)
		reply += piece
	}
	if reply != answer {
		t.Errorf("found '%s', expected '%s'", reply, answer)
	}
	for piece, err := range g.All(background) {
		t.Errorf("behind the end comes '%s', %v", piece, err)
	}
}
