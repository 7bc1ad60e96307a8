package benefit

import "hash/maphash"

// Command is something that callers ask for and that changes rows, such as [Issue]. A batch runs many: the engine calls
// Names of all, loads what they named, calls Rows of all, loads again, and then applies one after the other. None of the
// methods but Apply changes anything, and Apply changes only the command itself, which carries its result.
type Command interface {
	// Check returns why the command cannot be carried out, whatever the store holds, or nil.
	Check() error
	// Size returns about how many vouchers the command is about. It bounds a batch.
	Size() int
	// Touches writes what the command changes, such as a recipient: commands that write the same are never in two
	// concurrent batches of one process.
	Touches(h *maphash.Hash)
	// Names asks for what can be named before anything is read: claims, recipients, vouchers, operations, and rows whose
	// keys the command has. They are read before the batch has its locks, and read again at its end: if another process
	// has changed one by then the batch is decided again.
	Names(b *Batch)
	// Rows asks for every row that the command decides on, and for every lock. It may use what Names asked for. It is
	// called again when the batch's Now has moved; then it asks for what the later instant needs besides. Only a batch
	// with locks has a Now after all that other processes have written.
	Rows(b *Batch)
	// Apply decides. The command keeps its result for the caller, who sees it only when it is durable.
	Apply(b *Batch) Decision
}

// Redrawer is a command that may have to ask for more once its rows are loaded: what it drew at random is taken, or an
// identifier leads to another user by now.
type Redrawer interface {
	Command
	Redraw(b *Batch)
}

// Decision is the result of Apply for the engine.
type Decision struct {
	Effect      *Effect // nil: nothing changes
	Uncommitted bool    // the result rests on what an earlier command of the same batch changed
	// Refused reports whether the result has a refusal that was decided now, perhaps because other commands of the batch
	// took what was left.
	Refused bool
}

// Batch is a batch of commands on its way.
type Batch struct {
	*State
	Catalogue *Catalogue
	Env       Env
}

// Names returns what the commands name before anything is read.
func (b *Batch) Names(commands []Command) *Keys {
	b.keys.Claims = make([]ClaimKey, 0, len(commands))
	b.keys.Recipients = make([]Identifier, 0, len(commands))
	for _, c := range commands {
		c.Names(b)
	}
	return b.wanted()
}

// Rows returns the rows and locks that the commands need, once what they named is loaded. What was returned before is
// not returned again.
func (b *Batch) Rows(commands []Command) *Keys {
	for _, c := range commands {
		c.Rows(b)
	}
	return b.wanted()
}

// Redraws returns what the commands need besides, given what was loaded: see [Redrawer].
func (b *Batch) Redraws(commands []Command) *Keys {
	for _, c := range commands {
		if r, ok := c.(Redrawer); ok {
			r.Redraw(b)
		}
	}
	return b.wanted()
}
