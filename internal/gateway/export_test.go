package gateway

import "net/http"

// HTTP returns the HTTP server inside, with its limits.
func (s *Server) HTTP() *http.Server { return &s.http }
