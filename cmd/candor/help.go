package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// writeSettings writes a row of columns for each service whose listener speaks TLS from the first byte: the settings
// of a mail program that reaches this server as host.
func (c *config) writeSettings(w io.Writer, host string) {
	names := map[string]string{"imap": "Incoming (IMAP)", "pop3": "Incoming (POP3)", "submission": "Outgoing (SMTP)"}
	for _, l := range c.Listeners {
		if name := names[l.Service]; name != "" && l.TLS == modeImplicit {
			_, port := bind(l.Address)
			fmt.Fprintf(w, "  %s\tserver %s\tport %d\tConnection security: SSL/TLS\tAuthentication: Normal password\tuser name: the whole address\n", name, host, port)
		}
	}
}

// help is the page that a refused program's user is sent to.
func (c *config) help() string {
	var b strings.Builder
	fmt.Fprintf(&b, "Settings of a mail program for %s\n\n", c.hostname)
	t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	c.writeSettings(t, string(c.hostname))
	t.Flush()
	b.WriteString(`
If the program says that encryption is required, set Connection security to SSL/TLS and the port above.
If it says that the port needs SSL/TLS from the start, it is set to STARTTLS or none: choose SSL/TLS.
If a password was sent without encryption, others on the way may have read it: change it.
`)
	return b.String()
}
