package main

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"strings"
	"time"
)

// The audience of tokens that Fulcio takes.
const audience = "sigstore"

// issuer gives out identity tokens. Below its address, each kind of identity is an issuer of its own:
//
//	GET  /KIND/.well-known/openid-configuration, /KIND/keys   what Fulcio reads
//	POST /KIND/mint        a token of the kind's usual claims, overridden by those of a JSON body
//	GET  /github/request   what GitHub Actions answer to a job that asks for a token (ACTIONS_ID_TOKEN_REQUEST_URL)
type issuer struct {
	base string
	key  *rsa.PrivateKey
}

func newIssuer(base string) (*issuer, error) {
	// RSA: cosign takes a token on its command line only if it is signed with RS256.
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	return &issuer{base: base, key: key}, err
}

func (i *issuer) url(kind string) string { return i.base + "/" + kind }

// kinds are the identities that can be had: Fulcio's name for the way to read their tokens, and their usual claims.
var kinds = map[string]struct {
	fulcioType string
	claims     map[string]any
}{
	"email": {"email", map[string]any{"sub": "alice", "email": "alice@example.com", "email_verified": true}},
	"uri":   {"uri", map[string]any{}}, // its subject depends on the issuer's address: see mint
	"github": {"github-workflow", map[string]any{
		"sub":        "repo:acme/app:ref:refs/heads/main",
		"repository": "acme/app", "repository_id": "1", "repository_owner": "acme", "repository_owner_id": "2",
		"repository_visibility": "public", "ref": "refs/heads/main", "sha": strings.Repeat("a", 40),
		"workflow": "patch", "event_name": "schedule", "runner_environment": "github-hosted",
		"run_id": "77", "run_attempt": "1",
		"job_workflow_ref": "acme/app/.github/workflows/patch.yml@refs/heads/main", "job_workflow_sha": strings.Repeat("a", 40),
		"workflow_ref": "acme/app/.github/workflows/patch.yml@refs/heads/main", "workflow_sha": strings.Repeat("a", 40),
	}},
	"gitlab": {"gitlab-pipeline", map[string]any{
		"sub":          "project_path:acme/app:ref_type:branch:ref:main",
		"project_path": "acme/app", "project_id": "11", "project_visibility": "private", "namespace_path": "acme",
		"namespace_id": "12", "pipeline_id": "13", "pipeline_source": "schedule", "job_id": "14", "ref": "main",
		"ref_type": "branch", "sha": strings.Repeat("b", 40), "runner_id": 15, "runner_environment": "self-hosted",
		"ci_config_ref_uri": "gitlab.example.com/acme/app//.gitlab-ci.yml@refs/heads/main", "ci_config_sha": strings.Repeat("b", 40),
	}},
	"kubernetes": {"kubernetes", map[string]any{
		"sub": "system:serviceaccount:build:patcher",
		"kubernetes.io": map[string]any{
			"namespace":      "build",
			"pod":            map[string]any{"name": "patcher-0", "uid": "1b2c"},
			"serviceaccount": map[string]any{"name": "patcher", "uid": "3d4e"},
		},
	}},
	"buildkite": {"buildkite-job", map[string]any{
		"sub":               "organization:acme:pipeline:app:ref:refs/heads/main:commit:" + strings.Repeat("c", 40) + ":step:patch",
		"organization_slug": "acme", "pipeline_slug": "app", "build_number": 16, "build_branch": "main",
		"build_commit": strings.Repeat("c", 40), "step_key": "patch",
	}},
	"circleci": {"ci-provider", map[string]any{
		"sub":                               "org/a1/project/b2/user/c3",
		"oidc.circleci.com/project-id":      "b2",
		"oidc.circleci.com/context-ids":     []string{"d4"},
		"oidc.circleci.com/vcs-origin":      "github.com/acme/app",
		"oidc.circleci.com/vcs-ref":         "refs/heads/main",
		"oidc.circleci.com/ssh-rerun":       false,
		"oidc.circleci.com/pipeline-id":     "e5",
		"oidc.circleci.com/workflow-job-id": "f6",
	}},
}

func (i *issuer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	kind, what, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	if _, known := kinds[kind]; !known {
		http.NotFound(w, r)
		return
	}
	url := i.url(kind)
	switch {
	case what == ".well-known/openid-configuration":
		answer(w, map[string]any{
			"issuer": url, "jwks_uri": url + "/keys", "authorization_endpoint": url + "/authorize", "token_endpoint": url + "/token",
			"response_types_supported": []string{"code"}, "subject_types_supported": []string{"public"},
			"id_token_signing_alg_values_supported": []string{"RS256"},
		})
	case what == "keys":
		exponent := []byte{byte(i.key.E >> 16), byte(i.key.E >> 8), byte(i.key.E)}
		answer(w, map[string]any{"keys": []any{map[string]any{
			"kty": "RSA", "alg": "RS256", "use": "sig", "kid": "sigstack", "n": encode(i.key.N.Bytes()), "e": encode(exponent),
		}}})
	case what == "mint" && r.Method == http.MethodPost:
		claims := map[string]any{}
		if r.ContentLength != 0 {
			if err := json.NewDecoder(r.Body).Decode(&claims); err != nil {
				http.Error(w, err.Error(), http.StatusBadRequest)
				return
			}
		}
		i.mint(w, kind, claims, func(token string) { fmt.Fprint(w, token) })
	case kind == "github" && what == "request":
		if !strings.HasPrefix(strings.ToLower(r.Header.Get("Authorization")), "bearer ") {
			http.Error(w, "the request token is missing", http.StatusUnauthorized)
			return
		}
		claims := map[string]any{"aud": "https://github.com/acme"}
		if wanted := r.URL.Query().Get("audience"); wanted != "" {
			claims["aud"] = wanted
		}
		i.mint(w, kind, claims, func(token string) { answer(w, map[string]any{"count": len(token), "value": token}) })
	default:
		http.NotFound(w, r)
	}
}

// mint signs a token of the kind's claims, overridden by the given ones, and passes it on.
func (i *issuer) mint(w http.ResponseWriter, kind string, claims map[string]any, done func(string)) {
	now := time.Now().Unix()
	all := map[string]any{
		"iss": i.url(kind), "aud": audience, "iat": now, "nbf": now - 5, "exp": now + 600,
		"sub": i.url(kind) + "/robot",
	}
	maps.Copy(all, kinds[kind].claims)
	maps.Copy(all, claims)
	token, err := i.sign(all)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	done(token)
}

func (i *issuer) sign(claims map[string]any) (string, error) {
	payload, err := json.Marshal(claims)
	if err != nil {
		return "", err
	}
	signed := encode([]byte(`{"alg":"RS256","kid":"sigstack","typ":"JWT"}`)) + "." + encode(payload)
	digest := sha256.Sum256([]byte(signed))
	signature, err := rsa.SignPKCS1v15(rand.Reader, i.key, crypto.SHA256, digest[:])
	return signed + "." + encode(signature), err
}

func encode(bytes []byte) string { return base64.RawURLEncoding.EncodeToString(bytes) }

func answer(w http.ResponseWriter, value any) {
	w.Header().Set("Content-Type", "application/json")
	// A client that went away is no concern of the server.
	_ = json.NewEncoder(w).Encode(value)
}
