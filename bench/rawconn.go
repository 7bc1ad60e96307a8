package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"strconv"
)

// rawConn sends finished requests over one kept connection and reads whole answers. It does as little as a client
// can, so that what a benchmark measures is the server and not the load.
type rawConn struct {
	conn net.Conn
	r    *bufio.Reader
}

func dialRaw(address string) (*rawConn, error) {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return nil, err
	}
	return &rawConn{conn, bufio.NewReaderSize(conn, 8<<10)}, nil
}

// do sends a request and returns the body of its answer, which must have status 200 and a Content-Length.
func (c *rawConn) do(request []byte) ([]byte, error) {
	if _, err := c.conn.Write(request); err != nil {
		return nil, err
	}
	line, err := c.r.ReadSlice('\n')
	if err != nil {
		return nil, err
	}
	if !bytes.Contains(line, []byte(" 200 ")) {
		return nil, fmt.Errorf("status %q", bytes.TrimSpace(line))
	}
	length := -1
	for {
		line, err := c.r.ReadSlice('\n')
		if err != nil {
			return nil, err
		}
		line = bytes.TrimRight(line, "\r\n")
		if len(line) == 0 {
			break
		}
		if name, value, _ := bytes.Cut(line, []byte(":")); bytes.EqualFold(name, []byte("Content-Length")) {
			if length, err = strconv.Atoi(string(bytes.TrimSpace(value))); err != nil {
				return nil, err
			}
		}
	}
	if length < 0 {
		return nil, fmt.Errorf("an answer without Content-Length")
	}
	body := make([]byte, length)
	_, err = io.ReadFull(c.r, body)
	return body, err
}

// postForm makes the bytes of a request.
func postForm(address, path, form string) []byte {
	return fmt.Appendf(nil, "POST %s HTTP/1.1\r\nHost: %s\r\nContent-Type: application/x-www-form-urlencoded;charset=utf-8\r\nContent-Length: %d\r\n\r\n%s",
		path, address, len(form), form)
}
