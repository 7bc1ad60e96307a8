package embedded

import (
	"context"
	"iter"

	"faquan/internal/journal"
	"faquan/internal/store"
	"faquan/internal/vfs"
)

// journalAt is where a reader finds the journal.
type journalAt struct {
	fs  vfs.FS
	dir string
}

func (o *Options) journalAt() journalAt { return journalAt{o.JournalFS, o.JournalDir} }

// AllCommits reads the journal up to the record that the view has reached.
func (r *reader) AllCommits(ctx context.Context) iter.Seq2[*store.Commit, error] {
	return func(yield func(*store.Commit, error) bool) {
		at, err := readPosition(r.conn)
		if err != nil {
			yield(nil, err)
			return
		}
		if at.seq == 0 {
			return
		}
		records, err := journal.Follow(r.journal.fs, r.journal.dir, 1)
		if err != nil {
			yield(nil, err)
			return
		}
		defer records.Close()
		for {
			//guard:TestConformance$/Feed at.seq -> uint64(1)<<62
			c, err := nextCommit(ctx, records, at.seq)
			if c == nil && err == nil || !yield(c, err) || err != nil {
				return
			}
		}
	}
}

// nextCommit returns the next commit up to a record; nil when there is none.
func nextCommit(ctx context.Context, records *journal.Follower, upTo uint64) (*store.Commit, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	record, ok, err := records.Next(upTo)
	if err != nil || !ok {
		return nil, err
	}
	return decodeCommit(record)
}
