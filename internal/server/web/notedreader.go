package web

import "io"

// NotedReader notes the error of its Reader, so that it can be told from that of whoever writes what is read.
type NotedReader struct {
	io.Reader
	Err error // but for io.EOF
}

// Read implements io.Reader.
func (n *NotedReader) Read(p []byte) (int, error) {
	c, err := n.Reader.Read(p)
	if err != nil && err != io.EOF {
		n.Err = err
	}
	return c, err
}
