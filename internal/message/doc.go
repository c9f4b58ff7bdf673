// Package message is the content of mail: header fields, MIME structure, trace fields, composing
// and delivery reports (RFC 5322, 2045, 3464). It keeps no message in memory except its header.
//
// A Scanner computes the Attributes of a message while it streams in; Range and Part find body
// parts in them, so that no message is parsed twice. A Header is a header block byte for byte.
// Nothing here does I/O but through the reader or writer it was given; values that are not being
// written to may be used concurrently.
package message
