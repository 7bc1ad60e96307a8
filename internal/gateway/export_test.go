package gateway

import "net/http"

// HTTP returns the HTTP server inside, with its limits.
func (s *Server) HTTP() *http.Server { return &s.http }

// InUse returns how many connections are in the books of a server, and how much of the shared memory.
func (s *Server) InUse() (connections int, memory int64) {
	s.admission.mu.Lock()
	defer s.admission.mu.Unlock()
	return s.admission.open, s.admission.used
}
