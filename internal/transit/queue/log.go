package queue

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"candor/internal/mail"
)

// logDelivery writes the line of a delivery attempt (specification, sections 1.2 and 1.3).
func (q *Queue) logDelivery(e *entry, v *verdict) {
	level, text := slog.LevelInfo, ""
	switch v.fate {
	case settled, delivered:
		text = "delivery ok"
	case replaced:
		text = "delivery expanded"
	case deferred:
		level, text = slog.LevelWarn, "delivery defer"
	case refused:
		level, text = slog.LevelWarn, "delivery fail"
	case broken:
		text = "delivery broken off"
	}
	if errors.Is(v.result.Err, ErrSettled) {
		text = "delivery withdrawn"
	}
	if !q.o.Log.Enabled(q.ctx, level) {
		return
	}
	attrs := make([]slog.Attr, 0, 24)
	attrs = append(attrs, slog.String("id", string(e.m.ID)), slog.String("rcpt", v.r.to.Address.String()))
	if v.result.RemoteMTA != "" {
		attrs = append(attrs, slog.String("mx", v.result.RemoteMTA))
	}
	attrs = append(attrs, v.result.Transport.Attrs()...)
	if v.result.Reply != "" {
		attrs = append(attrs, slog.String("reply", v.result.Reply))
	}
	if err := v.result.Err; err != nil {
		attrs = append(attrs, slog.String("status", mail.AsError(err).Status.String()), slog.String("err", err.Error()))
	}
	if v.fate == deferred {
		attrs = append(attrs, slog.Int("attempts", v.changed.attempts), slog.Time("next", v.changed.due))
	}
	for _, to := range v.result.Expanded {
		attrs = append(attrs, slog.String("to", to.Address.String()))
	}
	attrs = append(attrs, slog.Duration("delay", v.result.At.Sub(e.created)))
	q.o.Log.LogAttrs(context.WithoutCancel(q.ctx), level, text, attrs...)
}

func (q *Queue) logReport(of, report *entry) {
	q.o.Log.Info("delivery report queued", "id", string(report.m.ID), "of", string(of.m.ID),
		"rcpt", report.recipients[0].to.Address.String())
}

// duration writes a span of time for people.
func duration(d time.Duration) string {
	for _, u := range []struct {
		unit time.Duration
		name string
	}{{24 * time.Hour, "day"}, {time.Hour, "hour"}, {time.Minute, "minute"}} {
		if n := int64(d / u.unit); d >= u.unit && d%u.unit == 0 {
			if n == 1 {
				return "1 " + u.name
			}
			return fmt.Sprintf("%d %ss", n, u.name)
		}
	}
	return d.String()
}
