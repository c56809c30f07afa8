// Command trivydb writes a Trivy vulnerability database (schema 2) of the advisories under testdata/advisories, so that
// the real Trivy judges the test images without any network.
//
//	trivydb ADVISORIES-FOLDER CACHE-FOLDER
//
// Trivy then runs with --cache-dir CACHE-FOLDER --skip-db-update.
package main

import (
	"encoding/json"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"strings"

	"go.etcd.io/bbolt"
)

// advisory is one entry of an advisories file; FixedVersion is a version of the source package.
type advisory struct {
	FixedVersion string
	Status       string
	Severity     string
}

// The numbers that Trivy's database has in place of these words.
var (
	statuses   = map[string]int{"": 0, "affected": 2, "fixed": 3, "will_not_fix": 5, "fix_deferred": 6}
	severities = map[string]int{"UNKNOWN": 0, "LOW": 1, "MEDIUM": 2, "HIGH": 3, "CRITICAL": 4}
)

func main() {
	if len(os.Args) != 3 {
		log.Fatal("usage: trivydb ADVISORIES-FOLDER CACHE-FOLDER")
	}
	if err := write(os.Args[1], filepath.Join(os.Args[2], "db")); err != nil {
		log.Fatal(err)
	}
}

func write(source, target string) error {
	files, err := filepath.Glob(filepath.Join(source, "debian-*.json"))
	if err != nil {
		return err
	}
	if len(files) == 0 {
		return fmt.Errorf("%s holds no debian-*.json", source)
	}
	if err := os.MkdirAll(target, 0o755); err != nil {
		return err
	}
	path := filepath.Join(target, "trivy.db")
	if err := os.Remove(path); err != nil && !os.IsNotExist(err) {
		return err
	}
	db, err := bbolt.Open(path, 0o644, nil)
	if err != nil {
		return err
	}
	for _, file := range files {
		release := strings.TrimSuffix(strings.TrimPrefix(filepath.Base(file), "debian-"), ".json")
		if err := fill(db, file, "debian "+release); err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
	}
	if err := db.Close(); err != nil {
		return err
	}
	// A fixed time far ahead: Trivy must not find the database old.
	metadata := `{"Version":2,"NextUpdate":"2100-01-01T00:00:00Z","UpdatedAt":"2025-01-01T00:00:00Z","DownloadedAt":"2025-01-01T00:00:00Z"}`
	return os.WriteFile(filepath.Join(target, "metadata.json"), []byte(metadata), 0o644)
}

func fill(db *bbolt.DB, file, platform string) error {
	data, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	var sources map[string]map[string]advisory
	if err := json.Unmarshal(data, &sources); err != nil {
		return err
	}
	return db.Update(func(tx *bbolt.Tx) error {
		platforms, err := tx.CreateBucketIfNotExists([]byte(platform))
		if err != nil {
			return err
		}
		origin := map[string]string{
			"ID": "debian", "Name": "Debian Security Tracker",
			"URL": "https://salsa.debian.org/security-tracker-team/security-tracker",
		}
		if err := put(tx, "data-source", platform, origin); err != nil {
			return err
		}
		for name, entries := range sources {
			bucket, err := platforms.CreateBucketIfNotExists([]byte(name))
			if err != nil {
				return err
			}
			for id, entry := range entries {
				severity, known := severities[entry.Severity]
				if !known {
					return fmt.Errorf("%s: unknown severity %q", id, entry.Severity)
				}
				status, known := statuses[entry.Status]
				if !known {
					return fmt.Errorf("%s: unknown status %q", id, entry.Status)
				}
				row := map[string]any{"FixedVersion": entry.FixedVersion}
				if status != 0 {
					row["Status"] = status
				}
				encoded, err := json.Marshal(row)
				if err != nil {
					return err
				}
				if err := bucket.Put([]byte(id), encoded); err != nil {
					return err
				}
				details := map[string]any{
					"Title": name + ": " + id, "Severity": entry.Severity, "VendorSeverity": map[string]int{"debian": severity},
				}
				if err := put(tx, "vulnerability", id, details); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

func put(tx *bbolt.Tx, bucket, key string, value any) error {
	held, err := tx.CreateBucketIfNotExists([]byte(bucket))
	if err != nil {
		return err
	}
	encoded, err := json.Marshal(value)
	if err != nil {
		return err
	}
	return held.Put([]byte(key), encoded)
}
