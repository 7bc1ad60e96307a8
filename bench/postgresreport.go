package main

import "fmt"

// printComparison prints medians over the rounds, as tables for docs/performance.md. Ratios are taken within a round.
func (b *pgBench) printComparison(rounds []pgRound) {
	if len(rounds) == 0 {
		return
	}
	first := b.Processes[0]
	fmt.Fprintf(b.Out, "\nmedians of %d rounds, %s, %d asks in each measurement\n\n", len(rounds), templatesText(b.Templates), b.Asks)
	fmt.Fprintf(b.Out, "| processes | issues/s | of %s | CPU µs per issue: faquan / server | p50 / p99 / p99.9 ms | bytes per issue: WAL / written / size | issues in a commit | conflicts |\n", processesText(first))
	fmt.Fprintln(b.Out, "| --- | --- | --- | --- | --- | --- | --- | --- |")
	for _, n := range b.Processes {
		of := func(f func(m *measured) float64) float64 {
			return over(rounds, func(r pgRound) (float64, bool) { return f(r.own[n]), true })
		}
		ratio := over(rounds, func(r pgRound) (float64, bool) { return r.own[n].PerSecond / r.own[first].PerSecond, true })
		fmt.Fprintf(b.Out, "| %d | %.0f | %.2f | %.1f / %s | %.2f / %.2f / %.2f | %.0f / %s / %.0f | %.0f | %.0f |\n", n,
			of(func(m *measured) float64 { return m.PerSecond }), ratio,
			of(func(m *measured) float64 { return m.CPUMicros }), tenths(of(func(m *measured) float64 { return m.ServerMicros })),
			of(func(m *measured) float64 { return m.P50Millis }), of(func(m *measured) float64 { return m.P99Millis }), of(func(m *measured) float64 { return m.P999Millis }),
			of(func(m *measured) float64 { return m.WALBytes }), known(of(func(m *measured) float64 { return m.WriteBytes })), of(func(m *measured) float64 { return m.SizeBytes }),
			of(func(m *measured) float64 { return m.BatchSize }), of(func(m *measured) float64 { return float64(m.Conflicts) }))
		name := fmt.Sprintf("processes_%d_", n)
		b.result.number(name+"issues_per_second", of(func(m *measured) float64 { return m.PerSecond })).
			number(name+"cpu_us", of(func(m *measured) float64 { return m.CPUMicros })).
			number(name+"server_cpu_us", of(func(m *measured) float64 { return m.ServerMicros })).
			number(name+"p99_ms", of(func(m *measured) float64 { return m.P99Millis }))
	}
	b.printPeers(rounds)
}

func (b *pgBench) printPeers(rounds []pgRound) {
	if b.peers == nil {
		return
	}
	fmt.Fprint(b.Out, "\n| peer | issues/s | CPU µs per issue, server included | p50 / p99 ms |")
	for _, n := range b.Processes {
		fmt.Fprintf(b.Out, " faquan in %s, times it |", processesText(n))
	}
	fmt.Fprint(b.Out, "\n| --- | --- | --- | --- |")
	for range b.Processes {
		fmt.Fprint(b.Out, " --- |")
	}
	fmt.Fprintln(b.Out)
	for _, name := range PeerNames {
		of := func(f func(p *peerResult) float64) float64 {
			return over(rounds, func(r pgRound) (float64, bool) { p, ok := r.peers[name]; return f(&p), ok })
		}
		rate := of(func(p *peerResult) float64 { return p.PerSecond })
		if rate == 0 {
			continue // left out, or it has failed in every round
		}
		fmt.Fprintf(b.Out, "| %s | %.0f | %.1f | %.2f / %.2f |", name, rate, of((*peerResult).cpuMicros),
			of(func(p *peerResult) float64 { return p.P50Millis }), of(func(p *peerResult) float64 { return p.P99Millis }))
		for _, n := range b.Processes {
			times := over(rounds, func(r pgRound) (float64, bool) {
				p, ok := r.peers[name]
				return r.own[n].PerSecond / p.PerSecond, ok
			})
			fmt.Fprintf(b.Out, " %.2f |", times)
			b.result.number(fmt.Sprintf("processes_%d_issues_of_%s", n, slug(name)), times)
		}
		fmt.Fprintln(b.Out)
	}
}

func processesText(n int) string {
	if n == 1 {
		return "1 process"
	}
	return fmt.Sprintf("%d processes", n)
}

// over returns the median of a figure over the rounds that have it; 0 when none has.
func over(rounds []pgRound, figure func(pgRound) (float64, bool)) float64 {
	var all []float64
	for _, r := range rounds {
		if v, ok := figure(r); ok {
			all = append(all, v)
		}
	}
	return median(all)
}

// printGrowth prints the steps as a table, and how the cost grows: the mean of the last two steps against that of the
// second and third, the first one being the one that makes the users.
func (b *pgBench) printGrowth(steps []*measured) {
	fmt.Fprintln(b.Out, "\n| million | issues/s | CPU µs per issue: faquan / server | p50 / p99 / p99.9 ms | bytes per issue: WAL / written / size |")
	fmt.Fprintln(b.Out, "| --- | --- | --- | --- | --- |")
	for k, m := range steps {
		fmt.Fprintf(b.Out, "| %d | %.0f | %.1f / %s | %.2f / %.2f / %.2f | %.0f / %s / %.0f |\n", k+1, m.PerSecond,
			m.CPUMicros, tenths(m.ServerMicros), m.P50Millis, m.P99Millis, m.P999Millis, m.WALBytes, known(m.WriteBytes), m.SizeBytes)
	}
	if n := len(steps); n > 0 {
		last := steps[n-1]
		b.result.number("last_step_issues_per_second", last.PerSecond).number("last_step_cpu_us", last.CPUMicros).
			number("last_step_server_cpu_us", last.ServerMicros)
	}
	if n := len(steps); n >= 5 {
		cost := func(k int) float64 { return steps[k].CPUMicros + steps[k].ServerMicros }
		early, late := (cost(1)+cost(2))/2, (cost(n-2)+cost(n-1))/2
		b.result.number("cpu_us_growth", late/early)
		fmt.Fprintf(b.Out, "\nCPU per issue, server included, grew from %.1f to %.1f µs (%+.0f %%) between steps 2-3 and %d-%d\n", early, late, 100*(late/early-1), n-1, n)
	}
}
