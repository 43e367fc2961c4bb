package drivertest

// decided are the steps in which a value is not what it was, by database and
// case: those of map rows and arguments that Bun writes by their Go type,
// without asking its dialect. docs/values.md says what to write in their place.
// One that is cured has to leave the list.
var decided = map[string]map[string][]string{
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
		"raw JSON":                   {"argument, changed", "map row, changed"},
		"net.IP":                     {"argument, unique", "map row, unique"},
		"net.IPNet":                  {"argument, unique"},
		"netip.Addr":                 {"argument, unique"},
		"netip.Addr as Bun has it":   {"argument, unique"},
		"netip.Prefix":               {"argument, unique"},
		"netip.Prefix as Bun has it": {"argument, unique"},
		"sql.Null[float32]":          {"found by an argument", "found in a list"},
	},
}

// decidedSteps returns the steps of a case, and whether each of them has to show
// its fault. A database of another kind may have any of them.
func decidedSteps(database, name string) (steps []string, exact bool) {
	if cases, ours := decided[database]; ours {
		return cases[name], true
	}
	for _, cases := range decided {
		steps = append(steps, cases[name]...)
	}
	return steps, false
}
