package postgres

import (
	"errors"
	"testing"

	"faquan/internal/benefit"
	"faquan/internal/pgtest"
	"faquan/internal/store/storetest"
)

func fill(t testing.TB, o Options, source string) *Import {
	t.Helper()
	f, err := StartImport(t.Context(), o, source)
	if err != nil {
		t.Fatalf("Fill: %v", err)
	}
	return f
}

func users(n int64) *benefit.Changes {
	u := &benefit.User{ID: benefit.UserID(n << 23), Name: "u", Identifiers: []benefit.Identifier{{Type: benefit.Login, Value: "x"}}}
	return &benefit.Changes{Now: storetest.Start, Users: []*benefit.User{u}}
}

// A store is filled in pieces and by several attempts; from the first to the last moment nobody else may have it.
func TestFilling(t *testing.T) {
	ctx := t.Context()
	o := Options{URL: pgtest.Shared(t).Database(t), CallerClock: true}
	f := fill(t, o, "here/7")
	if step, rows := f.Progress(); step != 0 || rows != 0 {
		t.Errorf("a new one is at step %d, row %d", step, rows)
	}
	if _, err := Open(ctx, o); !errors.Is(err, ErrImporting) {
		t.Errorf("Open of a store that is being filled: %v", err)
	}
	if err := f.Write(ctx, users(1), 3, 5); err != nil {
		t.Fatalf("Write: %v", err)
	}
	if err := f.Close(); err != nil {
		t.Fatalf("Close: %v", err)
	}
	if _, err := Open(ctx, o); !errors.Is(err, ErrImporting) {
		t.Errorf("Open of a store that is filled half: %v", err)
	}
	if _, err := StartImport(ctx, o, "here/8"); !errors.Is(err, ErrOtherSource) {
		t.Errorf("Fill from another source: %v", err)
	}
	f = fill(t, o, "here/7")
	if step, rows := f.Progress(); step != 3 || rows != 5 {
		t.Errorf("it goes on at step %d, row %d; want 3, 5", step, rows)
	}
	if err := errors.Join(f.Bound(ctx, storetest.Start+5, 99), f.Analyze(ctx), f.Done(ctx), f.Close()); err != nil {
		t.Fatal(err)
	}
	st, err := Open(ctx, o)
	if err != nil {
		t.Fatalf("Open of a store that was filled: %v", err)
	}
	defer st.Close()
	tx, err := st.Begin(ctx, 0)
	if err != nil || tx.Now() != storetest.Start+5 || st.LastIDMillis() < 99 {
		t.Errorf("Begin: %v; now %d, ids up to %d", err, tx.Now(), st.LastIDMillis())
	}
	tx.Rollback()
	if _, err := StartImport(ctx, o, "here/7"); !errors.Is(err, ErrNotEmpty) {
		t.Errorf("Fill of a store with rows: %v", err)
	}
}

// Who had the store open before it was filled can write nothing while it is; what it would write waits, and two cannot
// fill one store.
func TestFillingAlone(t *testing.T) {
	ctx := t.Context()
	o := Options{URL: pgtest.Shared(t).Database(t), CallerClock: true}
	st, err := Open(ctx, o)
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	defer st.Close()
	tx, err := st.Begin(ctx, 0)
	if err != nil {
		t.Fatalf("Begin: %v", err)
	}
	lockTimeout = 0
	defer func() { lockTimeout = stepTimeout }()
	if _, err := StartImport(ctx, o, "here"); !errors.Is(err, ErrInUse) {
		t.Errorf("Fill beside a batch: %v", err)
	}
	tx.Rollback()
	f := fill(t, o, "here")
	defer f.Close()
	if _, err := StartImport(ctx, o, "here"); !errors.Is(err, ErrInUse) {
		t.Errorf("Fill beside Fill: %v", err)
	}
	began := make(chan error, 1)
	go func() {
		tx, err := st.BeginChange(ctx, 0)
		if err == nil {
			tx.Rollback()
		}
		began <- err
	}()
	for n := range 5 {
		if err := f.Write(ctx, users(int64(n)+1), 1, int64(n)); err != nil {
			t.Fatalf("Write: %v", err)
		}
		select {
		case err := <-began:
			t.Fatalf("somebody else began: %v", err)
		default:
		}
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-began; err != nil {
		t.Errorf("a change after the filling: %v", err)
	}
}
