// Package imap is the grammar of IMAP4rev1 (RFC 3501) and IMAP4rev2 (RFC 9051) with the extensions
// that Candor speaks: it turns octets into typed commands and typed data into responses.
//
// A Reader takes one command at a time from a Source, with its literals, within limits; Command.Parse
// makes its typed arguments. The Append functions render responses into a caller's buffer. Nothing
// here holds policy, keeps state between commands or waits for anything but the Source.
package imap
