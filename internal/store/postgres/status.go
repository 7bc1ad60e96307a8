package postgres

import "github.com/jackc/pgx/v5/pgxpool"

// Pool describes the connections of a pool, for metrics.
type Pool struct {
	Name      string // issuing or reading
	Used, Max int
	Idle      int
}

// Pools returns how many connections the pools have. It asks no server.
func (s *Store) Pools() []Pool {
	of := func(name string, p *pgxpool.Pool) Pool {
		at := p.Stat()
		return Pool{Name: name, Used: int(at.AcquiredConns()), Idle: int(at.IdleConns()), Max: int(at.MaxConns())}
	}
	return []Pool{of("issuing", s.issuing), of("reading", s.reading)}
}
