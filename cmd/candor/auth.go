package main

type authCmd struct {
	Census     authCensusCmd     `cmd:"" help:"Who logs in by what, and what breaks without a mechanism."`
	Exposed    authExposedCmd    `cmd:"" help:"Passwords that were sent without encryption and not changed since."`
	Cache      authCacheCmd      `cmd:"" help:"The running server's memory of right passwords."`
	Blocked    authBlockedCmd    `cmd:"" help:"Addresses that were blocked for their wrong logins."`
	Mechanisms authMechanismsCmd `cmd:"" help:"Tell which login mechanisms are offered, and why others are not."`
}
