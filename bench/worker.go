package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime/debug"
	"time"

	"github.com/spf13/cobra"

	"faquan/internal/engine"
	"faquan/internal/store/postgres"
)

// A benchmark of several processes starts itself as its workers. A worker reads lines of JSON, a task and then orders,
// and answers each with a line. When its input ends, so does it: a worker does not outlive who has started it.

// workerTask is what a worker gets first. It comes by its input, because a command line shows the password of the URL.
type workerTask struct {
	URL        string
	Workload   Workload
	Callers    int
	Committers int
}

// workerOrder asks for a stretch of work: Asks of all processes together, of which the worker makes its share.
type workerOrder struct{ Asks int64 }

// workerReport answers a task, when the worker is ready, and an order, when it is done.
type workerReport struct {
	Error     string
	Issues    int64
	Again     int64         // retries of asks that were answered with an error to retry
	Batches   int64         // commits
	Conflicts int64         // batches that were decided again because another process was first
	CPU       time.Duration // callers included
	Seconds   float64
	Latency   map[int]int64 // of the histogram
}

func newWorker() *cobra.Command {
	return profileFlag(&cobra.Command{
		Use:    "worker",
		Hidden: true,
		Short:  "One process of bench engine",
		Long: `One of the processes that bench engine --processes starts. It gets its task on its standard input, and ends when that
does.`,
		Example: `  go run ./bench worker   # started by bench engine`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if os.Getenv("GOGC") == "" {
				debug.SetGCPercent(400) // as faquan serve on a database
			}
			return runWorker(context.WithoutCancel(cmd.Context()), cmd.InOrStdin(), cmd.OutOrStdout())
		},
	})
}

// runWorker is a worker: it works for whoever has started it, over its input and output.
func runWorker(ctx context.Context, in io.Reader, out io.Writer) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	lines, answers := json.NewDecoder(in), json.NewEncoder(out)
	var task workerTask
	if err := lines.Decode(&task); err != nil {
		return fmt.Errorf("bench worker is started by bench engine, which tells it what to do: %w", err)
	}
	err := work(ctx, &task, ordersOf(lines, cancel), answers)
	if err != nil {
		_ = answers.Encode(workerReport{Error: err.Error()})
	}
	return err
}

// ordersOf hands on orders as they come. When there are no more to come, what is under way is given up.
func ordersOf(lines *json.Decoder, end func()) <-chan workerOrder {
	orders := make(chan workerOrder)
	go func() {
		defer close(orders)
		defer end() //guard:TestWorkerEnds
		for {
			var order workerOrder
			if lines.Decode(&order) != nil {
				return
			}
			orders <- order
		}
	}()
	return orders
}

func work(ctx context.Context, task *workerTask, orders <-chan workerOrder, answers *json.Encoder) (err error) {
	db, err := postgres.Open(ctx, postgres.Options{URL: task.URL})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	st := &counted{Store: db}
	engine, err := NewEngine(ctx, engine.Options{Store: st, Committers: task.Committers}, task.Workload, task.Callers, "")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, engine.Close()) }()
	if err := answers.Encode(workerReport{}); err != nil {
		return err
	}
	for order := range orders {
		batches, conflicts, from := st.batches.Load(), st.conflicts.Load(), engine.meter.read()
		s, err := engine.run(ctx, order.Asks)
		if err != nil {
			return err
		}
		to := engine.meter.read()
		err = answers.Encode(workerReport{
			Issues: s.issued.Load(), Again: s.again.Load(), Latency: s.latency.counts(),
			CPU: to.cpu - from.cpu, Seconds: to.at.Sub(from.at).Seconds(),
			Batches: st.batches.Load() - batches, Conflicts: st.conflicts.Load() - conflicts,
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// crew are the workers of one measurement.
type crew []*worker

type worker struct {
	cmd   *exec.Cmd
	in    io.WriteCloser
	order *json.Encoder
	said  *json.Decoder
}

// startCrew starts as many workers as the workload has processes, and returns when all are ready. Each gets the
// arguments.
func startCrew(task workerTask, args func() []string) (c crew, err error) {
	defer func() {
		if err != nil {
			c.close()
		}
	}()
	for k := range max(task.Workload.Processes, 1) {
		w, err := startWorker(append([]string{"worker"}, args()...)...)
		if err != nil {
			return c, err
		}
		c = append(c, w)
		task.Workload.Process = k
		if err := w.order.Encode(task); err != nil {
			return c, err
		}
	}
	_, err = c.reports()
	return c, err
}

// startWorker starts this program again, with pipes to it.
func startWorker(args ...string) (*worker, error) {
	cmd, err := self(args...)
	if err != nil {
		return nil, err
	}
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	return &worker{cmd, in, json.NewEncoder(in), json.NewDecoder(out)}, nil
}

// run has all workers begin at once, and returns when the last one is done.
func (c crew) run(asks int64) (time.Duration, []workerReport, error) {
	began := time.Now()
	for _, w := range c {
		if err := w.order.Encode(workerOrder{asks}); err != nil {
			return 0, nil, fmt.Errorf("a worker has ended: %w", err)
		}
	}
	all, err := c.reports()
	return time.Since(began), all, err
}

// reports waits for a line of each worker. It reads all of them before it returns an error, because the first worker may
// have failed because of another.
func (c crew) reports() ([]workerReport, error) {
	all, errs := make([]workerReport, len(c)), make([]error, len(c))
	for k, w := range c {
		if err := w.said.Decode(&all[k]); err != nil {
			errs[k] = fmt.Errorf("worker %d has ended: %w", k, err)
		} else if all[k].Error != "" {
			errs[k] = fmt.Errorf("worker %d: %s", k, all[k].Error)
		}
	}
	return all, errors.Join(errs...)
}

// close ends the workers, and waits until they have ended.
func (c crew) close() {
	for _, w := range c {
		_ = w.in.Close()
	}
	for _, w := range c {
		late := time.AfterFunc(20*time.Second, func() { _ = w.cmd.Process.Kill() })
		_ = w.cmd.Wait() // its failure came as a report
		late.Stop()
	}
}
