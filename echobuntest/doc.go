// Package echobuntest helps to test applications that use echobun.
//
// [New] makes an extension on SQLite in memory, for tests that need no server.
// [Isolate] puts an extension's databases, of whatever kind, into transactions
// that are rolled back when the test ends, so that tests on real servers find
// and leave them as they were. Tables are made once, before:
//
//	func TestPosts(t *testing.T) {
//		echobuntest.Isolate(t, ext) // Made in TestMain, with CreateAll.
//		rec := httptest.NewRecorder()
//		newServer(ext).ServeHTTP(rec, httptest.NewRequest(http.MethodPost, "/posts", body))
//		...
//	}
//
// Both need the driver packages of the URLs to be imported; this one imports SQLite's.
package echobuntest
