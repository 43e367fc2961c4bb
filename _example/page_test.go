package main

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/labstack/echo/v4"
	"github.com/stretchr/testify/require"

	"github.com/echobun/echobun/internal/dbtest"
)

// TestPage looks at the page as a person does, with a browser.
func TestPage(t *testing.T) {
	t.Parallel()
	browser := newBrowser(t)
	for _, m := range mixes {
		t.Run(m.String(), func(t *testing.T) {
			t.Parallel()
			tab := openPage(browser, t, newExample(t, m.config(t)))
			posts, users, hits := "default · "+m.posts, "auth · "+m.users, "meta · "+m.hits

			require.Equal(t, sight{
				Posts: "Title " + posts + "\tAuthor " + users + "\n" +
					"No foreign key leaves its database\tGrace Hopper\n" +
					"One session, three databases\tAda Lovelace",
				Users: "Users\n" + users + "\nName\tId\nAda Lovelace\t1\nGrace Hopper\t2",
				Hits:  "Page hits\n" + hits + "\nRoute\tHits\n/\t1",
			}, look(tab, t))

			const nasty = `<b>&"quotes"</b> '; DROP TABLE posts; --`
			submitForm(tab, t, nasty)
			seen := look(tab, t)
			require.Contains(t, seen.Posts, users+"\n"+nasty+"\tAda Lovelace\n")
			require.Contains(t, seen.Hits, hits+"\nRoute\tHits\n/\t2")
		})
	}
	t.Run("a form that is refused", func(t *testing.T) {
		t.Parallel()
		tab := openPage(browser, t, newExample(t, onSQLite(t)))

		// Spaces pass the browser's own check, and not ours.
		submitForm(tab, t, "  ")
		problem, err := chromedp.Run(tab, chromedp.Text(`[role=alert]`))
		require.NoError(t, err)
		require.Equal(t, "title is missing", problem)
		title, err := chromedp.Run(tab, chromedp.Value(`input[name=title]`))
		require.NoError(t, err)
		require.Equal(t, "  ", title)
	})
}

func TestForm(t *testing.T) {
	t.Parallel()
	e := newExample(t, onSQLite(t))

	status, body := send(t, e, http.MethodPost, "/posts", echo.MIMEApplicationForm, "title=%22%3Ci%3E&author_id=99")
	require.Equal(t, http.StatusBadRequest, status)
	require.Contains(t, body, `value="&#34;&lt;i&gt;"`)
	require.Contains(t, body, `role="alert">author_id is not the id of a user`)

	for origin, want := range map[string]int{
		"http://example.com":        http.StatusSeeOther,
		"https://elsewhere.example": http.StatusForbidden,
	} {
		req := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/posts", strings.NewReader("title=x&author_id=1"))
		req.Header.Set(echo.HeaderContentType, echo.MIMEApplicationForm)
		req.Header.Set(echo.HeaderOrigin, origin)
		rec := httptest.NewRecorder()
		e.ServeHTTP(rec, req)
		require.Equal(t, want, rec.Code, origin)
	}
}

func TestUnknownAuthor(t *testing.T) {
	t.Parallel()
	require.Equal(t, []postLine{{"Known", "Ada"}, {"Orphan", "(unknown)"}}, withAuthors(
		[]Post{{Title: "Known", AuthorID: 1}, {Title: "Orphan", AuthorID: 2}},
		[]User{{ID: 1, Name: "Ada"}},
	))
}

// A sight is what a person sees of the page: the table of posts, and the other
// sections with their headings.
type sight struct{ Posts, Users, Hits string }

func look(tab context.Context, t *testing.T) sight {
	t.Helper()
	var texts [3]string
	for i, selector := range []string{"#posts table", "#users", "#hits"} {
		text, err := chromedp.Run(tab, chromedp.Text(selector))
		require.NoError(t, err, selector)
		texts[i] = text
	}
	return sight{texts[0], texts[1], texts[2]}
}

// submitForm fills the form in, presses its button and waits for the page that
// follows.
func submitForm(tab context.Context, t *testing.T, title string) {
	t.Helper()
	_, err := chromedp.RunResponse(tab,
		chromedp.SendKeys(`input[name=title]`, title),
		chromedp.SetValue(`select[name=author_id]`, "1"),
		chromedp.Click(`form button`),
	)
	require.NoError(t, err)
}

// newBrowser starts a browser with a fresh profile.
func newBrowser(t *testing.T) context.Context {
	t.Helper()
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(findBrowser(t)),
		chromedp.NoSandbox, // It does not start as root with one.
		chromedp.DisableGPU,
		chromedp.WindowSize(1100, 900),
		chromedp.Flag("disable-quic", true),
		chromedp.Flag("disable-component-update", true),
	)
	ctx, stop := chromedp.NewExecAllocator(context.Background(), options...)
	t.Cleanup(stop)
	ctx, stop = chromedp.NewContext(ctx)
	t.Cleanup(stop)
	require.NoError(t, chromedp.Do(ctx))
	return ctx
}

func findBrowser(t *testing.T) string {
	t.Helper()
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if file, err := exec.LookPath(name); err == nil {
			return file
		}
	}
	dbtest.Skip(t, "needs Chromium, which is not installed here (make setup installs it)")
	return ""
}

// openPage serves e and opens its page in a tab of its own.
func openPage(browser context.Context, t *testing.T, e *echo.Echo) context.Context {
	t.Helper()
	srv := httptest.NewServer(e)
	t.Cleanup(srv.Close)
	return openURL(browser, t, srv.URL)
}

func openURL(browser context.Context, t *testing.T, url string) context.Context {
	t.Helper()
	tab, closeTab := chromedp.NewContext(browser)
	t.Cleanup(closeTab)
	require.NoError(t, chromedp.Do(tab))
	tab, cancel := context.WithTimeout(tab, 30*time.Second)
	t.Cleanup(cancel)
	require.NoError(t, chromedp.Do(tab, chromedp.Navigate(url)))
	return tab
}
