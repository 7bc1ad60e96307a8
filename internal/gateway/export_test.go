package gateway

// InUse returns how many connections are in the books of a server, and how much of the shared memory.
func (s *Server) InUse() (connections int, memory int64) {
	s.admission.mu.Lock()
	defer s.admission.mu.Unlock()
	return s.admission.open, s.admission.used
}
