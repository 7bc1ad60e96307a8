package journal

import (
	"cmp"
	"fmt"

	"faquan/internal/vfs"
)

// VerifyOptions say what a journal is compared with.
type VerifyOptions struct {
	// UpTo ends the check at an acknowledged record. It must be set beside a process that appends; 0 checks everything
	// there is.
	UpTo uint64
	// Heads were noted elsewhere (log, backup, another machine). Each must be in the journal with its hash, so that a
	// tail cut off clean is noticed too.
	Heads []Head
}

// Report is the result of Verify on a journal without damage.
type Report struct {
	Head      Head // the last record checked
	Records   int64
	CleanStop bool     // Close was the last that happened
	Residue   *Residue // nil: none
}

// Residue is something behind the end that is not zero. After an unclean stop that is what a crash left of the last
// append, which was not acknowledged. It is also how damage to the very last frame after an unclean stop, and to bytes
// without meaning behind the end, shows itself.
type Residue struct {
	Segment string
	Offset  int64 // where the frames end, bytes
	Bytes   int64 // from there to the last byte that is not zero
	Reason  string
}

// Verify reads a whole journal and checks every bit of it: the headers, seals, checksums, sequences and zeros, and the
// SHA-256 chain from the first record to the last. The first thing wrong is returned as a *DamageError with segment and
// offset. It takes no lock and changes nothing.
func Verify(fsys vfs.FS, dir string, opts VerifyOptions) (Report, error) {
	l, err := surveyWhole(fsys, dir)
	if err != nil {
		return Report{}, err
	}
	v := verifier{fsys: fsys, layout: l, opts: opts}
	v.report.Head.Hash = l.segs[0].prev
	err = v.all()
	return v.report, err
}

type verifier struct {
	fsys   vfs.FS
	layout *layout
	opts   VerifyOptions
	report Report
}

func (v *verifier) all() error {
	for i := range v.layout.segs {
		if err := v.segment(&v.layout.segs[i]); err == errEnough {
			return nil
		} else if err != nil {
			return err
		}
	}
	return cmp.Or(v.spare(), v.known())
}

func (v *verifier) segment(seg *segment) error {
	f, err := v.fsys.OpenRead(seg.path)
	if err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	defer f.Close()
	t, err := readTail(f, seg, func(fr *frame) error { return v.frame(seg, fr) })
	if err != nil {
		return err
	}
	if t.sealed { // nothing but zeros is between the frames and the seal
		s := newScanner(f, seg.header)
		s.seg.size = s.limit // leave out the seal, which is good
		rest, err := s.rest(t.end, t.end)
		if err == nil && rest.end != 0 {
			err = seg.damage(t.end, t.head.Seq+1, "there are bytes after the last record that should be zero")
		}
		return err
	}
	v.report.CleanStop = t.clean && t.residue == 0
	if t.residue > 0 {
		v.report.Residue = &Residue{Segment: seg.path, Offset: t.end, Bytes: t.residue - t.end, Reason: t.reason}
	}
	return nil
}

// frame follows the chain.
func (v *verifier) frame(seg *segment, fr *frame) error {
	if fr.typ != typeRecord {
		return nil // the scanner has compared it with the record before
	}
	if sum := chainHash(fr.raw, fr.length, v.report.Head.Hash); sum != fr.hash { //guard:TestForgery
		return seg.damage(fr.offset, fr.seq, "the hash chain is broken: the record, or one before it, was replaced")
	}
	for _, noted := range v.opts.Heads {
		if noted.Seq == fr.seq && noted.Hash != fr.hash {
			return seg.damage(fr.offset, fr.seq, "the chain hash is not the one noted elsewhere")
		}
	}
	v.report.Head = Head{Seq: fr.seq, Hash: fr.hash}
	v.report.Records++
	if v.opts.UpTo > 0 && fr.seq >= v.opts.UpTo {
		return errEnough
	}
	return nil
}

// spare checks the segment made ahead, in which nothing should be.
func (v *verifier) spare() error {
	if v.layout.spare == "" {
		return nil
	}
	f, err := v.fsys.OpenRead(v.layout.spare)
	if err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	defer f.Close()
	_, used, err := readSpare(f, v.layout)
	if err == nil && used > 0 && v.report.Residue == nil {
		v.report.Residue = &Residue{Segment: v.layout.spare, Bytes: used, Reason: "a prepared segment, without records, is not all zero"}
	}
	return err
}

// known compares the end with what is known to have been there.
func (v *verifier) known() error {
	end := v.report.Head.Seq
	for _, h := range append(v.opts.Heads, Head{Seq: v.opts.UpTo}) {
		if h.Seq > end {
			return v.layout.tail().damage(0, end+1, "the journal ends with record %d, but record %d was noted elsewhere", end, h.Seq)
		}
	}
	return nil
}
