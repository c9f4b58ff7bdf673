package mailfile

import (
	"bytes"
	"strings"
	"time"
)

var from = []byte("From ")

// fromDates are the forms in which a From_ line ends. Without a zone the time is that of the machine, as mail
// servers write it.
var fromDates = []string{
	"Mon Jan _2 15:04:05 2006", "Mon Jan _2 15:04:05 2006 -0700", "Mon Jan _2 15:04:05 -0700 2006", "Mon Jan _2 15:04:05 MST 2006",
	"Mon Jan _2 15:04 2006", "Mon, _2 Jan 2006 15:04:05 -0700",
}

// weekdays begin the date of a From_ line.
var weekdays = []string{" Mon", " Tue", " Wed", " Thu", " Fri", " Sat", " Sun"}

// parseFrom reads a From_ line. Thunderbird's may lack the date, which is then zero. ok: it is one, and not text that begins so.
func parseFrom(line []byte) (date time.Time, ok bool) {
	rest, ok := bytes.CutPrefix(bytes.TrimRight(line, "\r\n"), from)
	if !ok {
		return date, false
	}
	text := " " + strings.TrimSpace(string(rest))
	if text == " " || text == " -" {
		return date, true
	}
	for _, day := range weekdays {
		at := strings.LastIndex(text, day)
		if at < 0 {
			continue
		}
		for _, layout := range fromDates {
			if date, err := time.ParseInLocation(layout, strings.Join(strings.Fields(text[at:]), " "), time.Local); err == nil {
				return date, true
			}
		}
	}
	return date, false
}

// formatFrom writes a From_ line with the date in UTC (RFC 4155).
func formatFrom(date time.Time) string {
	return "From MAILER-DAEMON " + date.UTC().Format("Mon Jan _2 15:04:05 2006") + "\n"
}
