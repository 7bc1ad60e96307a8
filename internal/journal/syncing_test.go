package journal

import (
	"errors"
	"syscall"
	"testing"

	"faquan/internal/vfs/faultfs"
)

// Syncing is called around each sync that a record waits for, also one that fails.
func TestSyncing(t *testing.T) {
	disk := faultfs.New(seeded(1))
	o := tiny(disk)
	began, done := 0, 0
	o.Syncing = func() func() {
		began++
		return func() { done++ }
	}
	j, _ := mustOpen(t, o)
	before := began
	mustAppend(t, j, 1)
	if began != before+1 || done != began {
		t.Errorf("one record: %d syncs began, %d are done", began-before, done-before)
	}
	disk.FailAt(2, faultfs.Fault{Err: syscall.EIO})
	var failed *FailedError
	if _, err := j.Append(1, nil); !errors.As(err, &failed) {
		t.Fatalf("a sync that fails: %v", err)
	}
	if began != before+2 || done != began {
		t.Errorf("a sync that fails: %d began, %d are done", began, done)
	}
	_ = j.Close()
}

// Short tells that there is no room for the next segment, until there is.
func TestShort(t *testing.T) {
	disk := faultfs.New(seeded(1))
	j, _ := mustOpen(t, tiny(disk))
	if j.LowOnSpace() {
		t.Error("a new journal is short of room")
	}
	disk.SetCapacity(disk.Used())
	if err := j.Prepare(); !errors.Is(err, syscall.ENOSPC) || !j.LowOnSpace() {
		t.Errorf("a full disk: %v, short %v", err, j.LowOnSpace())
	}
	disk.SetCapacity(-1)
	if err := j.Prepare(); err != nil || j.LowOnSpace() {
		t.Errorf("with room again: %v, short %v", err, j.LowOnSpace())
	}
	mustClose(t, j)
}
