package ldvprocessor

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"sync"
	"time"

	"go.uber.org/zap"
	"go.yaml.in/yaml/v3"
)

// The check at the time of writing (LDV-N15): which activities a record may name. The Register is the same YAML or JSON
// file that the SDK reads (docs/register.md); of it only the ids of its activities are read here.

const (
	registerMaxBytes = 16 << 20
	// How long an activity that was taken out of the Register stays in use.
	registerFresh = time.Minute
	// A file is looked at again this soon, when it lacks an activity.
	registerRetry = time.Second
)

// activities are those of the Register, of any version; requests share them.
type activities struct {
	path   string
	logger *zap.Logger
	now    func() time.Time

	mutex   sync.Mutex
	ids     map[string]bool
	version fileVersion
	looked  time.Time
}

type fileVersion struct {
	changed time.Time
	size    int64
}

// newActivities reads the Register; nothing is refused or flagged that was not looked up.
func newActivities(path string, logger *zap.Logger) (*activities, error) {
	found := &activities{path: path, logger: logger, now: time.Now}
	return found, found.look()
}

// have tells whether the Register has an activity.
func (a *activities) have(activity string) bool {
	a.mutex.Lock()
	defer a.mutex.Unlock()
	age := a.now().Sub(a.looked)
	// A clock that was set back is looked at like one that went on.
	if age >= registerFresh || age < 0 || !a.ids[activity] && age >= registerRetry {
		if err := a.look(); err != nil {
			// Once a second at most, and only while it is asked for.
			a.logger.Warn("the Register of before stays in use", zap.Error(err))
		}
	}
	return a.ids[activity]
}

// look reads the file, if it changed.
func (a *activities) look() error {
	a.looked = a.now()
	info, err := os.Stat(a.path)
	if err != nil {
		return unreadable(err)
	}
	version := fileVersion{info.ModTime(), info.Size()}
	if a.ids != nil && version == a.version {
		return nil
	}
	if !info.Mode().IsRegular() || info.Size() > registerMaxBytes {
		return fmt.Errorf("register (LDV_REGISTER) is no file of at most %d MiB", registerMaxBytes>>20)
	}
	file, err := os.Open(a.path)
	if err != nil {
		return unreadable(err)
	}
	defer file.Close()
	ids, err := idsOfRegister(io.LimitReader(file, registerMaxBytes))
	if err != nil {
		return err
	}
	a.ids, a.version = ids, version
	return nil
}

func unreadable(err error) error {
	var problem *fs.PathError
	if errors.As(err, &problem) {
		err = problem.Err
	}
	return fmt.Errorf("register (LDV_REGISTER) names a file that cannot be read: %w", err)
}

// idsOfRegister returns the ids of its activities; an entry without one makes the whole unusable, as in the SDK.
func idsOfRegister(from io.Reader) (map[string]bool, error) {
	var content struct {
		Activities []struct {
			ID *string `yaml:"id"`
		} `yaml:"activities"`
	}
	if err := yaml.NewDecoder(from).Decode(&content); err != nil {
		return nil, errors.New("register (LDV_REGISTER) is no YAML or JSON with `activities`, a list of entries; " +
			"`ldv register check` says what is wrong with it")
	}
	if content.Activities == nil {
		return nil, errors.New("register (LDV_REGISTER) has no `activities`, a list of entries")
	}
	ids := map[string]bool{}
	for place, one := range content.Activities {
		if one.ID == nil || *one.ID == "" {
			return nil, fmt.Errorf("register (LDV_REGISTER): entry %d of its activities has no `id`", place+1)
		}
		ids[*one.ID] = true
	}
	return ids, nil
}
