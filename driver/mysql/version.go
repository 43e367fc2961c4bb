package mysql

import (
	"strconv"
	"strings"

	"github.com/uptrace/bun/dialect/feature"
)

// serverFeatures returns what a server can do beyond the least that Bun
// expects, by what its VERSION() is. Bun's own dialect has the same rules.
func serverFeatures(version string) feature.Feature {
	if strings.Contains(version, "MariaDB") {
		return mariadbFeatures(parseVersion(strings.TrimPrefix(version, replicationPrefix)))
	}
	v := parseVersion(version)
	var f feature.Feature
	if !v.before(release{8, 0, 0}) {
		f |= feature.CTE | feature.WithValues
	}
	if !v.before(release{8, 0, 16}) {
		f |= feature.DeleteTableAlias
	}
	return f
}

// replicationPrefix is put before MariaDB's version by servers and proxies
// that fear for old replicas.
const replicationPrefix = "5.5.5-"

func mariadbFeatures(v release) feature.Feature {
	f := feature.CreateIndexIfNotExists
	if !v.before(release{10, 0, 5}) {
		f |= feature.DeleteReturning
	}
	if !v.before(release{10, 5, 0}) {
		f |= feature.InsertReturning
	}
	return f
}

// A release is a version number of three parts.
type release [3]int

// parseVersion reads "10.11.6-MariaDB-1:10.11.6+maria~deb12". What it cannot
// read counts as zero.
func parseVersion(s string) release {
	s, _, _ = strings.Cut(s, "-")
	var r release
	for i, part := range strings.SplitN(s, ".", len(r)+1) {
		n, err := strconv.Atoi(part)
		if err != nil || i == len(r) {
			break
		}
		r[i] = n
	}
	return r
}

func (r release) before(other release) bool {
	for i := range r {
		if r[i] != other[i] {
			return r[i] < other[i]
		}
	}
	return false
}
