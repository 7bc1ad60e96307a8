package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"
)

// A rotation waits for a yes. Where nothing can be asked it is a mistake on the command line.
func TestConfirmRotation(t *testing.T) {
	for answer, want := range map[string]string{
		"y\n": "", "YES \n": "", "y": "", "n\n": "not rotated", "\n": "not rotated", "yup\n": "not rotated", "": "needs --yes",
	} {
		var out bytes.Buffer
		err := confirmRotation(t.Context(), strings.NewReader(answer), &out, true)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want an error with %q", answer, err, want)
		}
		if usage := errors.As(err, new(usageError)); usage != (answer == "") {
			t.Errorf("%q: a mistake on the command line: %t", answer, usage)
		}
		if !strings.Contains(out.String(), "old public key") || !strings.HasSuffix(out.String(), "[y/N] ") {
			t.Errorf("it asks %q", out.String())
		}
	}
	var out bytes.Buffer
	if err := confirmRotation(t.Context(), strings.NewReader("y\n"), &out, false); !errors.As(err, new(usageError)) || out.Len() > 0 {
		t.Errorf("without a terminal: %v, and it asks %q", err, &out)
	}
	ctx, interrupt := context.WithCancel(t.Context())
	interrupt()
	in, keeps := io.Pipe() // nobody answers
	defer keeps.Close()
	if err := confirmRotation(ctx, in, io.Discard, true); !errors.Is(err, context.Canceled) {
		t.Errorf("interrupted: %v", err)
	}
}
