package main

import (
	"context"
	"encoding/json"
	"log/slog"
	"time"

	"candor/internal/mail"
	"candor/internal/server/listen"
)

const (
	// settingsNote is where the wrong settings that were seen are kept.
	settingsNote = "wrong-settings"
	// settingsRest is how long they are not written again after they were: strangers decide how often they change.
	settingsRest = 10 * time.Minute
)

// loadSettings takes up the wrong settings that the last server saw.
func (p *parts) loadSettings(ctx context.Context, log *slog.Logger) error {
	saved, err := p.directory.Note(ctx, settingsNote)
	if err != nil || saved == nil {
		return err
	}
	var all []listen.WrongSetting
	if err := json.Unmarshal(saved, &all); err != nil {
		log.Warn("the programs with wrong settings cannot be read; they are noticed anew", "err", err)
		return nil
	}
	p.wrongSettings.Restore(all)
	return nil
}

// saveSettings keeps the wrong settings if one was seen since they were kept, and that is so long ago. Names that are nobody's
// are left out: some are passwords.
func (p *parts) saveSettings(ctx context.Context, log *slog.Logger, rest time.Duration) {
	now := time.Now()
	all := p.wrongSettings.List(now)
	if len(all) == 0 || !all[0].Last.After(p.settingsSaved) || now.Sub(p.settingsSaved) < rest {
		return
	}
	for i := range all {
		if _, known := p.named(ctx, all[i].User); !known {
			all[i].User = ""
		}
	}
	text, err := json.Marshal(all)
	if err == nil {
		err = p.directory.SetNote(ctx, settingsNote, text)
	}
	if err != nil {
		log.Warn("could not note the programs with wrong settings", "err", err)
		return
	}
	p.settingsSaved = now
}

// named returns the account whose address a login name is.
func (p *parts) named(ctx context.Context, login string) (mail.Address, bool) {
	a, err := mail.ParseAddress(login)
	if err != nil {
		return mail.Address{}, false
	}
	account, err := p.directory.Account(ctx, a)
	return account.Address, err == nil
}
