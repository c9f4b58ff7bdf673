package main

type authCmd struct {
	Census  authCensusCmd  `cmd:"" help:"Who logs in by what."`
	Blocked authBlockedCmd `cmd:"" help:"Addresses that were blocked for their wrong logins."`
}
