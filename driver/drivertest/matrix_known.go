package drivertest

// knownFaults are the steps of the matrix that show faults which are not cured
// yet, by database and case. One that is cured has to leave the list.
var knownFaults = map[string]map[string][]string{
	"mysql": {
		"uint":                       {"found by a field", "found in a list"},
		"net.IP":                     {"argument, unique", "map row, unique"},
		"net.IPNet":                  {"argument, unique"},
		"netip.Addr":                 {"argument, unique"},
		"netip.Addr as Bun has it":   {"argument, unique"},
		"netip.Prefix":               {"argument, unique"},
		"netip.Prefix as Bun has it": {"argument, unique"},
	},
	"pg": {
		"uint":             {"found by a field", "found in a list"},
		"float32":          {"found by an argument", "found in a list"},
		"bytes in text":    {"argument, changed", "map row, changed"},
		"bytes in varchar": {"argument, changed", "found by a field", "found by an argument", "found in a list", "map row, changed", "map row, unique"},
		"net.IP":           {"argument, unique", "map row, unique"},
		"netip.Addr":       {"argument, unique"},
		"netip.Prefix":     {"argument, unique"},
	},
	"sqlite": {
		"uint":                       {"found in a list"},
		"float64":                    {"found by an argument", "found in a list"},
		"*float64":                   {"found by an argument", "found in a list"},
		"net.IP":                     {"argument, unique", "map row, unique"},
		"net.IPNet":                  {"argument, unique"},
		"netip.Addr":                 {"argument, unique"},
		"netip.Addr as Bun has it":   {"argument, unique"},
		"netip.Prefix":               {"argument, unique"},
		"netip.Prefix as Bun has it": {"argument, unique"},
		"sql.Null[float32]":          {"found by an argument", "found in a list"},
	},
}
