package main

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"candor/internal/mail"
)

const (
	// alarmInterval is how often alarms are looked for.
	alarmInterval = time.Minute
	// saveTime bounds what is saved at the end.
	saveTime = 10 * time.Second
)

// alarms asks every part that can find one.
func (p *parts) alarms(c *config, now time.Time) []mail.Alarm {
	var all []mail.Alarm
	for _, find := range []func(*config, time.Time) []mail.Alarm{p.exceptionAlarms, p.legacyAlarms, p.loginAlarms} {
		all = append(all, find(c, now)...)
	}
	for _, find := range p.findings {
		all = append(all, find(now)...)
	}
	return all
}

// alarmLog logs an alarm when it begins, and when its stage changes.
type alarmLog struct {
	mu     sync.Mutex
	raised []mail.Alarm
}

// alarmKey is what makes an alarm another one.
type alarmKey struct{ id, subject, stage string }

func keyOf(a mail.Alarm) alarmKey { return alarmKey{a.ID, a.Subject, a.Stage} }

// raise takes the alarms that hold now.
func (l *alarmLog) raise(log *slog.Logger, now []mail.Alarm) {
	l.mu.Lock()
	defer l.mu.Unlock()
	before := map[alarmKey]bool{}
	for _, a := range l.raised {
		before[keyOf(a)] = true
	}
	for _, a := range now {
		if !before[keyOf(a)] {
			log.Warn("alarm", "id", a.ID, "subject", a.Subject, "stage", a.Stage, "text", a.Text)
		}
	}
	l.raised = now
}

// alarmCount is the metric of an alarm: Raised is 1 while it holds.
type alarmCount struct {
	ID      string `json:"id"`
	Subject string `json:"subject"`
	Raised  int    `json:"raised"`
}

// stats are the alarms that held when they were last looked for.
func (l *alarmLog) stats() []alarmCount {
	l.mu.Lock()
	defer l.mu.Unlock()
	seen := map[alarmKey]bool{}
	var all []alarmCount
	for _, a := range l.raised {
		k := alarmKey{id: a.ID, subject: a.Subject}
		if !seen[k] {
			all = append(all, alarmCount{a.ID, a.Subject, 1})
		}
		seen[k] = true
	}
	return all
}

// watchAlarms looks for alarms, and keeps what they tell of, until the function that it returns is called.
func (r *running) watchAlarms() (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		tick := time.NewTicker(alarmInterval)
		defer tick.Stop()
		for {
			r.alarmLog.raise(r.log, r.alarms(r.config(), time.Now()))
			select {
			case <-ctx.Done():
				last, cancel := context.WithTimeout(context.Background(), saveTime)
				defer cancel()
				r.saveUses(last, r.log)
				r.saveSettings(last, r.log, 0)
				return
			case <-tick.C:
				r.saveUses(ctx, r.log)
				r.saveSettings(ctx, r.log, settingsRest)
			}
		}
	})
	return func() {
		cancel()
		wg.Wait()
	}
}
