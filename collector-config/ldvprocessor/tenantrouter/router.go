// Package tenantrouter is a connector of the OpenTelemetry Collector that passes each span on to the pipelines of its
// tenant, and to those of the quarantine what is nobody's.
//
// Whose a span is says its own attribute, else that of its resource, else the other spans of its trace in the same
// request, where they say one thing. A tenant that is not configured is none.
package tenantrouter

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"sync"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/connector"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/consumer/consumererror"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/pipeline"
)

// nobody stands for what is in the quarantine; no tenant has this id.
const nobody = ""

var idForm = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)

// Config is what stands below `ldv_tenants` in a Collector's configuration.
type Config struct {
	// Attribute of a span or resource that has the id of a tenant.
	Attribute string `mapstructure:"attribute"`
	// Tenants, each with the pipelines that lead to its Logboek.
	Tenants []Tenant `mapstructure:"tenants"`
	// Quarantine has the pipelines of what is nobody's.
	Quarantine []pipeline.ID `mapstructure:"quarantine"`
}

// Tenant is one controller.
type Tenant struct {
	ID        string        `mapstructure:"id"`
	Pipelines []pipeline.ID `mapstructure:"pipelines"`
}

// Validate refuses a configuration that would mix two tenants, or lose what is nobody's.
func (c *Config) Validate() error {
	var problems []error
	if c.Attribute == "" {
		problems = append(problems, errors.New("attribute must name the attribute with the id of a tenant"))
	}
	if len(c.Tenants) == 0 {
		problems = append(problems, errors.New("tenants is empty"))
	}
	if len(c.Quarantine) == 0 {
		problems = append(problems, errors.New("quarantine must name the pipelines of spans that are nobody's"))
	}
	holders := map[pipeline.ID]string{}
	for _, id := range c.Quarantine {
		holders[id] = "quarantine"
	}
	ids := map[string]bool{}
	for _, tenant := range c.Tenants {
		if !idForm.MatchString(tenant.ID) {
			problems = append(problems, fmt.Errorf("%q is no id of a tenant", tenant.ID))
		}
		if ids[tenant.ID] {
			problems = append(problems, fmt.Errorf("the tenant %s stands here twice", tenant.ID))
		}
		ids[tenant.ID] = true
		if len(tenant.Pipelines) == 0 {
			problems = append(problems, fmt.Errorf("the tenant %s has no pipelines", tenant.ID))
		}
		for _, id := range tenant.Pipelines {
			if other, ok := holders[id]; ok {
				problems = append(problems, fmt.Errorf("%s has the same pipeline as %s: their records would be mixed", tenant.ID, other))
			}
			holders[id] = tenant.ID
		}
	}
	return errors.Join(problems...)
}

// NewFactory makes the connector `ldv_tenants` known to a Collector.
func NewFactory() connector.Factory {
	return connector.NewFactory(
		component.MustNewType("ldv_tenants"),
		func() component.Config { return &Config{Attribute: "ldv.tenant"} },
		connector.WithTracesToTraces(newRouter, component.StabilityLevelBeta),
	)
}

type router struct {
	component.StartFunc
	component.ShutdownFunc
	attribute string
	routes    map[string]consumer.Traces
}

func newRouter(
	_ context.Context, _ connector.Settings, config component.Config, next consumer.Traces,
) (connector.Traces, error) {
	c, ok := config.(*Config)
	if !ok {
		return nil, fmt.Errorf("%T is no configuration of the connector ldv_tenants", config)
	}
	pipelines, ok := next.(connector.TracesRouterAndConsumer)
	if !ok {
		return nil, errors.New("the connector ldv_tenants has no pipelines behind it")
	}
	used := slices.Clone(c.Quarantine)
	quarantine, err := pipelines.Consumer(c.Quarantine...)
	if err != nil {
		return nil, err
	}
	routes := map[string]consumer.Traces{nobody: quarantine}
	for _, tenant := range c.Tenants {
		if routes[tenant.ID], err = pipelines.Consumer(tenant.Pipelines...); err != nil {
			return nil, err
		}
		used = append(used, tenant.Pipelines...)
	}
	for _, id := range pipelines.PipelineIDs() {
		if !slices.Contains(used, id) {
			return nil, fmt.Errorf("the pipeline %s is that of no tenant, and would get nothing", id)
		}
	}
	return &router{attribute: c.Attribute, routes: routes}, nil
}

// Capabilities says that the attribute is taken out of what is passed on.
func (r *router) Capabilities() consumer.Capabilities {
	return consumer.Capabilities{MutatesData: true}
}

// ConsumeTraces passes on the spans of each tenant, all at the same time. It fails when one of them does: then whoever
// sent them sends all of them again, and readers see those that were stored before once.
func (r *router) ConsumeTraces(ctx context.Context, td ptrace.Traces) error {
	parts := r.split(td)
	failed := make(chan error, len(parts))
	var all sync.WaitGroup
	for tenant, part := range parts {
		all.Go(func() { failed <- r.routes[tenant].ConsumeTraces(ctx, part) })
	}
	all.Wait()
	close(failed)
	var passing, lasting []error
	for err := range failed {
		switch {
		case err == nil:
		case consumererror.IsPermanent(err):
			lasting = append(lasting, err)
		default:
			passing = append(passing, err)
		}
	}
	// One that never takes its spans must not make the sender drop those of another that takes them later.
	if len(passing) > 0 {
		return errors.Join(passing...)
	}
	return errors.Join(lasting...)
}

func (r *router) split(td ptrace.Traces) map[string]ptrace.Traces {
	byTrace := r.tenantsOfTraces(td)
	parts := map[string]ptrace.Traces{}
	for _, rs := range td.ResourceSpans().All() {
		ofResource, _ := r.said(rs.Resource().Attributes())
		resources := map[string]ptrace.ResourceSpans{}
		for _, ss := range rs.ScopeSpans().All() {
			scopes := map[string]ptrace.ScopeSpans{}
			for _, span := range ss.Spans().All() {
				tenant := r.choose(span, ofResource, byTrace)
				scope, ok := scopes[tenant]
				if !ok {
					resource, ok := resources[tenant]
					if !ok {
						if _, ok := parts[tenant]; !ok {
							parts[tenant] = ptrace.NewTraces()
						}
						resource = parts[tenant].ResourceSpans().AppendEmpty()
						rs.Resource().CopyTo(resource.Resource())
						resource.SetSchemaUrl(rs.SchemaUrl())
						r.remove(resource.Resource().Attributes())
						resources[tenant] = resource
					}
					scope = resource.ScopeSpans().AppendEmpty()
					ss.Scope().CopyTo(scope.Scope())
					scope.SetSchemaUrl(ss.SchemaUrl())
					scopes[tenant] = scope
				}
				moved := scope.Spans().AppendEmpty()
				span.MoveTo(moved)
				r.remove(moved.Attributes())
			}
		}
	}
	return parts
}

// choose returns whose a span is; nobody where nothing says so, or what says so cannot be followed.
func (r *router) choose(span ptrace.Span, ofResource string, byTrace map[pcommon.TraceID]string) string {
	tenant, said := r.said(span.Attributes())
	if !said {
		if tenant = ofResource; tenant == nobody {
			tenant = byTrace[span.TraceID()]
		}
	}
	if _, ok := r.routes[tenant]; !ok {
		return nobody
	}
	return tenant
}

// tenantsOfTraces returns what the spans of each trace say themselves; nobody where they say different things.
func (r *router) tenantsOfTraces(td ptrace.Traces) map[pcommon.TraceID]string {
	byTrace := map[pcommon.TraceID]string{}
	for _, rs := range td.ResourceSpans().All() {
		ofResource, _ := r.said(rs.Resource().Attributes())
		for _, ss := range rs.ScopeSpans().All() {
			for _, span := range ss.Spans().All() {
				tenant, said := r.said(span.Attributes())
				if !said {
					if tenant = ofResource; tenant == nobody {
						continue
					}
				}
				if other, ok := byTrace[span.TraceID()]; ok && other != tenant {
					tenant = nobody
				}
				byTrace[span.TraceID()] = tenant
			}
		}
	}
	return byTrace
}

// said returns what the attribute says, and whether it is there. One that is no text, or comes twice and differs, names
// nobody.
func (r *router) said(attributes pcommon.Map) (string, bool) {
	tenant, said := nobody, false
	for name, value := range attributes.All() {
		if name != r.attribute {
			continue
		}
		text := nobody
		if value.Type() == pcommon.ValueTypeStr {
			text = value.Str()
		}
		if said && text != tenant {
			return nobody, true
		}
		tenant, said = text, true
	}
	return tenant, said
}

func (r *router) remove(attributes pcommon.Map) {
	attributes.RemoveIf(func(name string, _ pcommon.Value) bool { return name == r.attribute })
}
