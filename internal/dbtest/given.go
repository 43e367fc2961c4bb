package dbtest

import (
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// parseGiven reads the URL of a server that the environment names. Its errors
// leave the URL out: it has a password.
func parseGiven(k *kind, given string) (Server, error) {
	u, err := url.Parse(given)
	if err != nil {
		return Server{}, fmt.Errorf("%s is not a URL", k.env)
	}
	scheme, _, _ := strings.Cut(u.Scheme, "+")
	if !slices.Contains(k.schemes, scheme) {
		return Server{}, fmt.Errorf("%s has the scheme %q: use %q", k.env, u.Scheme, k.scheme)
	}
	port := k.port
	if p := u.Port(); p != "" {
		if port, err = strconv.Atoi(p); err != nil {
			return Server{}, fmt.Errorf("%s has the port %q", k.env, p)
		}
	}
	password, _ := u.User.Password()
	s := Server{
		Host: u.Hostname(), Port: port, User: u.User.Username(), Password: password,
		Database: strings.TrimPrefix(u.Path, "/"), kind: k, query: u.RawQuery,
	}
	if s.Host == "" || s.User == "" {
		return Server{}, fmt.Errorf("%s needs a host and a user", k.env)
	}
	if s.Database == "" {
		s.Database = k.database
	}
	return s, nil
}
