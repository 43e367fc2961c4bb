package pgx

import (
	"fmt"
	"net"
	"strconv"
	"strings"

	"github.com/echobun/echobun/driver"
)

// setHosts takes the hosts and their ports from a URL.
//
// The parameter host goes over the host before it. It may hold several,
// separated by commas or by being given several times, each with a port of
// its own; ports may also come in a parameter, one for all or one for each.
func (s *settings) setHosts(u *driver.URL) error {
	ports := strings.Split(strings.Join(u.Query["port"], ","), ",")
	if len(u.Query["port"]) == 0 {
		ports = nil
	}
	if ports == nil && u.Port != 0 {
		ports = []string{strconv.Itoa(u.Port)}
	}
	hosts, own, err := splitHosts(u)
	if err != nil {
		return err
	}
	if len(hosts) > 0 {
		s.hosts = hosts
		s.values["host"] = strings.Join(hosts, ",")
	}
	if own == nil {
		s.set("port", strings.Join(ports, ","))
		return nil
	}
	if len(ports) > 1 && len(ports) != len(hosts) {
		return fmt.Errorf("pgx: %d ports for %d hosts in the URL's query: give one for each, or one for all", len(ports), len(hosts))
	}
	for i := range own {
		switch {
		case own[i] != "": // Goes over the others.
		case len(ports) == 1:
			own[i] = ports[0]
		case len(ports) > 1:
			own[i] = ports[i]
		}
	}
	s.values["port"] = strings.Join(own, ",")
	return nil
}

// splitHosts returns the hosts of a URL, and the ports that are written with
// them; these are nil if there are none.
func splitHosts(u *driver.URL) (hosts, ports []string, err error) {
	if len(u.Query["host"]) == 0 {
		if strings.Contains(u.Host, ",") {
			return nil, nil, fmt.Errorf("pgx: comma in the host %q: write several hosts as ?host=a,b", u.Host)
		}
		if u.Host == "" {
			return nil, nil, nil
		}
		return []string{strings.Trim(u.Host, "[]")}, nil, nil
	}
	var some bool
	for h := range strings.SplitSeq(strings.Join(u.Query["host"], ","), ",") {
		host, port, err := splitHost(h)
		if err != nil {
			return nil, nil, err
		}
		hosts, ports = append(hosts, host), append(ports, port)
		some = some || port != ""
	}
	if !some {
		ports = nil
	}
	return hosts, ports, nil
}

// splitHost splits "host:port". A folder of Unix sockets has no port here, nor
// has an IPv6 address without brackets.
func splitHost(s string) (host, port string, err error) {
	switch {
	case strings.HasPrefix(s, "/"):
		return s, "", nil
	case strings.HasPrefix(s, "[") && strings.HasSuffix(s, "]"):
		return s[1 : len(s)-1], "", nil
	case strings.HasPrefix(s, "["):
		host, port, err = net.SplitHostPort(s)
		if err != nil {
			return "", "", fmt.Errorf("pgx: host %q in the URL's query: write an IPv6 address as [::1]:5432", s)
		}
		return host, port, nil
	case strings.Count(s, ":") == 1:
		host, port, _ = strings.Cut(s, ":")
		return host, port, nil
	}
	return s, "", nil
}
