package main

type authCmd struct {
	Blocked authBlockedCmd `cmd:"" help:"Addresses that were blocked for their wrong logins."`
}
