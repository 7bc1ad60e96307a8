package gateway

// ServerStats are how full the bounds of a Server are, for metrics.
type ServerStats struct {
	Connections, MaxConnections int   // open at the moment, and at most
	Memory, MaxMemory           int64 // that requests share, in bytes
	// Dropped is how many connections were closed for want of room, Starved how many requests were refused for want of
	// memory, since the start.
	Dropped, Starved int64
}

// Stats returns how full the bounds are.
func (s *Server) Stats() ServerStats {
	a := s.admission
	a.mu.Lock()
	defer a.mu.Unlock()
	return ServerStats{
		Connections: a.open, MaxConnections: a.limits.Connections, Memory: a.used, MaxMemory: a.limits.Memory, Dropped: a.dropped, Starved: a.starved,
	}
}
