package ldvprocessor

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.uber.org/zap"
)

const otherActivity = "https://register.example/activiteiten/handhaven"

func writeRegister(t *testing.T, path string, ids ...string) {
	t.Helper()
	text := "\ufeffcontroller: Gemeente Voorbeeld\nactivities:\n"
	if len(ids) == 0 {
		text = "activities: []\n"
	}
	for _, id := range ids {
		text += "  - id: " + id + "\n    name: Een activiteit\n    valid_from: 2024-01-01\n"
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func checking(t *testing.T, check string, ids ...string) *Config {
	t.Helper()
	config := testConfig()
	config.RegisterCheck, config.Register = check, filepath.Join(t.TempDir(), "register.yaml")
	writeRegister(t, config.Register, ids...)
	return config
}

// An activity that the Register lacks is flagged or refused, whichever attribute names it, and one that it has is not.
func TestAnActivityThatTheRegisterLacks(t *testing.T) {
	for _, one := range []struct {
		check, attribute, activity, refused string
		unknown                             bool
	}{
		{"off", activityName, otherActivity, "(none)", false},
		{"flag", activityName, activity, "(none)", false},
		{"flag", activityName, " " + activity + "\t", "(none)", false},
		{"flag", activityName, otherActivity, "(none)", true},
		{"flag", objectsActivityName, otherActivity, "(none)", true},
		{"flag", "dpl.core.processingActivityId", otherActivity, "(none)", true},
		{"flag", activityName, "", "(none)", false},
		{"refuse", activityName, activity, "(none)", false},
		{"refuse", activityName, otherActivity, unknownActivity, true},
		{"refuse", objectsActivityName, otherActivity, unknownActivity, true},
	} {
		td := ptrace.NewTraces()
		newSpan(td).Attributes().PutStr(one.attribute, one.activity)
		made := spansOf(run(t, checking(t, one.check, activity), td))[0]
		if strings.Contains(text(t, made, flagsName), flagUnknownActivity) != one.unknown {
			t.Errorf("%+v: flags are %s", one, text(t, made, flagsName))
		}
		if text(t, made, refusedName) != one.refused {
			t.Errorf("%+v: refused is %s", one, text(t, made, refusedName))
		}
	}
}

// The main operation's activity is looked up too, and is no reason to refuse, as in the SDK.
func TestAMainActivityThatTheRegisterLacks(t *testing.T) {
	td := ptrace.NewTraces()
	newActie(td).Attributes().PutStr(parentActivityName, otherActivity)
	made := spansOf(run(t, checking(t, "refuse", activity), td))[0]
	if text(t, made, flagsName) != flagUnknownActivity || text(t, made, refusedName) != "(none)" {
		t.Errorf("flags are %s, refused is %s", text(t, made, flagsName), text(t, made, refusedName))
	}
}

// A record of the SDK was checked there, or not, by the settings of its service.
func TestARecordOfTheSDKIsNotChecked(t *testing.T) {
	td := ptrace.NewTraces()
	sdkRecord(td, "5d41402abc4b2a76b9719d911017c592")
	made := spansOf(run(t, checking(t, "refuse"), td))[0]
	if text(t, made, refusedName) != "(none)" {
		t.Errorf("refused is %s", text(t, made, refusedName))
	}
}

// What a person adds to the file counts a second later, what is taken out a minute later, and a broken one changes nothing.
func TestARegisterThatChanges(t *testing.T) {
	path := filepath.Join(t.TempDir(), "register.yaml")
	writeRegister(t, path, activity)
	register, err := newActivities(path, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	register.now = func() time.Time { return now }
	expect := func(what, activity string, there bool) {
		t.Helper()
		if register.have(activity) != there {
			t.Errorf("%s: %s is there: %v", what, activity, !there)
		}
	}
	writeRegister(t, path, activity, otherActivity)
	expect("at once", otherActivity, false)
	now = now.Add(2 * registerRetry)
	expect("later", otherActivity, true)
	if err := os.WriteFile(path, []byte("activities: [{name: x}]"), 0o600); err != nil {
		t.Fatal(err)
	}
	now = now.Add(2 * registerFresh)
	expect("broken", otherActivity, true)
	writeRegister(t, path, activity)
	now = now.Add(registerFresh / 2)
	expect("not yet out", otherActivity, true)
	now = now.Add(registerFresh)
	expect("out", otherActivity, false)
	expect("out", activity, true)
}

// A Register that cannot be used stops the Collector's start, with its reason and never with its content.
func TestARegisterThatCannotBeUsed(t *testing.T) {
	for name, content := range map[string]string{
		"no yaml": "activities: [", "no list": "activities: x", "nothing": "", "without": "controller: x",
		"no id": "activities: [{name: x}]", "empty id": `activities: [{"id": ""}]`, "a list as id": "activities: [{id: [a]}]",
		"aliases": "a: &a [x, x]\nb: &b [*a, *a]\nactivities: *b",
	} {
		path := filepath.Join(t.TempDir(), "register.yaml")
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := newActivities(path, zap.NewNop()); err == nil || !strings.HasPrefix(err.Error(), "register (LDV_REGISTER)") {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, path := range []string{filepath.Join(t.TempDir(), "none"), t.TempDir()} {
		if _, err := newActivities(path, zap.NewNop()); err == nil || strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v", path, err)
		}
	}
	for _, register := range []string{"", "https://register.example/register.yaml"} {
		config := testConfig()
		config.RegisterCheck, config.Register = "flag", register
		if config.Validate() == nil {
			t.Errorf("%q is taken", register)
		}
	}
}
