package main

import (
	"net"
	"os"

	"github.com/labstack/echo/v4"
)

// debugging reports whether the debug page is there. This is a demonstration,
// so it is unless EXAMPLE_DEBUG=false. Never mount it where the public gets to
// it: it shows tables, statements, hosts and users.
func debugging() bool { return os.Getenv("EXAMPLE_DEBUG") != "false" }

// onlyFromHere is middleware that hides a route from other machines. It asks
// who has connected: behind a proxy on this machine that is the proxy.
func onlyFromHere(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		if ip := net.ParseIP(echo.ExtractIPDirect()(c.Request())); ip == nil || !ip.IsLoopback() {
			return echo.ErrNotFound
		}
		return next(c)
	}
}

// debugHint says where the page is.
func debugHint(url string) string {
	if !debugging() {
		return ""
	}
	return "\nWhat requests do to the databases is on " + url + "/debug/db.\n"
}
