package dbtest

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// galeraLibraries is where packages put the provider.
var galeraLibraries = []string{
	"/usr/lib/galera/libgalera_smm.so", "/usr/lib/galera-4/libgalera_smm.so", "/usr/lib64/galera*/libgalera_smm.so",
}

// StartGalera starts a Galera cluster of MariaDB servers for one test. All
// nodes take writes, and refuse XA. The cluster ends with the test.
func StartGalera(tb testing.TB, nodes int) []*Server {
	tb.Helper()
	library := ""
	for _, pattern := range galeraLibraries {
		if found, _ := filepath.Glob(pattern); len(found) > 0 {
			library = found[0]
		}
	}
	if library == "" {
		Skip(tb, "needs Galera, which is not installed here (Debian's mariadb-server brings it)")
	}

	var cluster []*Server
	var members []string
	for range nodes {
		at := fmt.Sprintf("%s:%d", loopback, freePort())
		node := StartMariaDB(tb, galeraOptions(library, at, members)...)
		if err := node.waitForCluster(); err != nil {
			tb.Fatalf("dbtest: start a Galera node: %v", err)
		}
		cluster, members = append(cluster, node), append(members, at)
	}
	return cluster
}

// galeraOptions are those of a node that talks to others at an address. The
// first one has nobody to join, and makes the cluster. The next ones copy it.
func galeraOptions(library, at string, members []string) []string {
	return []string{
		"--wsrep-on=ON", "--wsrep-provider=" + library, "--wsrep-cluster-name=echobun",
		"--wsrep-cluster-address=gcomm://" + strings.Join(members, ","),
		"--wsrep-node-address=" + loopback, "--wsrep-sst-method=rsync", fmt.Sprintf("--wsrep-sst-receive-address=%s:%d", loopback, freePort()),
		fmt.Sprintf("--wsrep-provider-options=gmcast.listen_addr=tcp://%s;ist.recv_addr=%s:%d;gcache.size=8M", at, loopback, freePort()),
		"--binlog-format=ROW", "--innodb-autoinc-lock-mode=2",
	}
}

// waitForCluster waits until a node takes statements: it answers before.
func (s *Server) waitForCluster() error {
	return within(startLimit, func(ctx context.Context) error {
		for {
			err := s.kind.exec(ctx, s, "CREATE TEMPORARY TABLE ready (id int)")
			if err == nil || ctx.Err() != nil {
				return err
			}
			time.Sleep(20 * time.Millisecond) // A poll.
		}
	})
}
