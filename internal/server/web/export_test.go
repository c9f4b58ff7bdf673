package web

// StatusFor is statusFor, for the test that walks the kinds.
var StatusFor = statusFor
