// Package e2e proves promises from the outside: whole clusters of real
// processes and of whole nodes behind the emulated WAN, used through the Go
// client as a stranger would use it. It holds nothing but tests.
package e2e
