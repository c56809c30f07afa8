// kube answers kubectl in the place of a Kubernetes API server that has one pod to run commands in. What lies between
// `kubectl exec` and the command is Kubernetes' own: the library by which a kubelet serves SPDY and WebSockets.
//
// It prints its address as the first line, then a line for each command: the protocol, the container and the command.
// Commands run on this machine, in the environment of this process. It ends with its standard input.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"slices"
	"time"

	"k8s.io/cri-streaming/pkg/streaming/remotecommand"
	"k8s.io/streaming/pkg/httpstream/wsstream"
	utilexec "k8s.io/utils/exec"
)

const webSocketProtocol = "v5.channel.k8s.io"

var (
	token     = flag.String("token", "", "what a client has to show")
	namespace = flag.String("namespace", "builders", "where the pods are")
	// Beside it there are the pods `waiting`, without a node, and `done`, which has ended.
	pod = flag.String("pod", "buildkitd", "the pod that runs")
	// The first container of a pod is the one that kubectl takes by itself.
	container = flag.String("container", "buildkitd", "the second of its two containers, which commands run in")
)

type object = map[string]any

func main() {
	flag.Parse()
	mux := http.NewServeMux()
	serve := func(path string, answer object) {
		mux.HandleFunc("GET "+path, func(w http.ResponseWriter, _ *http.Request) { write(w, http.StatusOK, answer) })
	}
	serve("/api", object{"kind": "APIVersions", "versions": []string{"v1"}})
	serve("/apis", object{"kind": "APIGroupList", "apiVersion": "v1", "groups": []any{}})
	serve("/api/v1", object{"kind": "APIResourceList", "groupVersion": "v1", "resources": []any{
		object{"name": "pods", "singularName": "pod", "kind": "Pod", "namespaced": true, "verbs": []string{"get"}},
		object{"name": "pods/exec", "kind": "PodExecOptions", "namespaced": true, "verbs": []string{"create", "get"}},
	}})
	// kubectl asks for it when a pod is not there.
	serve("/api/v1/namespaces/"+*namespace, object{"kind": "Namespace", "apiVersion": "v1", "metadata": object{"name": *namespace}})
	mux.HandleFunc("GET /api/v1/namespaces/{namespace}/pods/{pod}", getPod)
	mux.HandleFunc("/api/v1/namespaces/{namespace}/pods/{pod}/exec", execInPod)
	// kubectl sends no token without TLS.
	server := httptest.NewTLSServer(authenticated(mux))
	fmt.Println(server.URL)
	_, _ = io.Copy(io.Discard, os.Stdin)
}

func authenticated(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer "+*token {
			refuse(w, http.StatusUnauthorized, "Unauthorized", "Unauthorized")
			return
		}
		next.ServeHTTP(w, r)
	})
}

func write(w http.ResponseWriter, code int, answer object) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(answer)
}

func refuse(w http.ResponseWriter, code int, reason, message string) {
	write(w, code, object{"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason, "message": message})
}

// phase returns the pod's phase, or refuses the request: there is no such pod.
func phase(w http.ResponseWriter, r *http.Request) string {
	name := r.PathValue("pod")
	phases := map[string]string{*pod: "Running", "waiting": "Pending", "done": "Succeeded"}
	if found := phases[name]; found != "" && r.PathValue("namespace") == *namespace {
		return found
	}
	refuse(w, http.StatusNotFound, "NotFound", fmt.Sprintf("pods %q not found", name))
	return ""
}

func getPod(w http.ResponseWriter, r *http.Request) {
	if phase := phase(w, r); phase != "" {
		write(w, http.StatusOK, object{"kind": "Pod", "apiVersion": "v1",
			"metadata": object{"name": r.PathValue("pod"), "namespace": *namespace},
			"spec":     object{"containers": []any{object{"name": "sidecar"}, object{"name": *container}}},
			"status":   object{"phase": phase}})
	}
}

func execInPod(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	name, command := query.Get("container"), query["command"]
	phase := phase(w, r)
	switch {
	case phase == "":
		return
	case phase != "Running":
		refuse(w, http.StatusBadRequest, "BadRequest", fmt.Sprintf("pod %s does not have a host assigned", r.PathValue("pod")))
		return
	case name != "sidecar" && name != *container:
		refuse(w, http.StatusBadRequest, "BadRequest", fmt.Sprintf("container %s is not valid for pod %s", name, *pod))
		return
	}
	if !wsstream.IsWebSocketRequest(r) {
		fmt.Println("spdy", name, command)
		options := remotecommand.Options{Stdin: query.Get("stdin") == "true", Stdout: query.Get("stdout") == "true", Stderr: query.Get("stderr") == "true"}
		remotecommand.ServeExec(w, r, runner{}, *pod, "", name, command, &options, time.Hour, remotecommand.DefaultStreamCreationTimeout, remotecommand.SupportedStreamingProtocols)
		return
	}
	fmt.Println("websocket", name, command)
	channels := []wsstream.ChannelType{wsstream.ReadChannel, wsstream.WriteChannel, wsstream.WriteChannel, wsstream.WriteChannel, wsstream.IgnoreChannel}
	conn := wsstream.NewConn(map[string]wsstream.ChannelProtocolConfig{webSocketProtocol: {Binary: true, Channels: channels}})
	_, streams, err := conn.Open(w, r)
	if err != nil {
		return
	}
	defer conn.Close()
	status := object{"status": "Success"}
	if err := (runner{}).ExecInContainer(r.Context(), *pod, "", name, command, streams[0], streams[1], streams[2], false, nil, 0); err != nil {
		status = object{"status": "Failure", "message": err.Error()}
		if exit := (utilexec.CodeExitError{}); errors.As(err, &exit) {
			status["reason"] = remotecommand.NonZeroExitCodeReason
			status["details"] = object{"causes": []any{object{"reason": remotecommand.ExitCodeCauseType, "message": fmt.Sprint(exit.Code)}}}
		}
	}
	_ = json.NewEncoder(streams[3]).Encode(status)
}

type runner struct{}

// ExecInContainer runs a command of this machine. The sidecar has none.
func (runner) ExecInContainer(ctx context.Context, _, _, name string, command []string, in io.Reader, out, errOut io.WriteCloser, _ bool, _ <-chan remotecommand.TerminalSize, _ time.Duration) error {
	if name != *container {
		return fmt.Errorf("exec: %q: executable file not found in $PATH", slices.Concat(command, []string{""})[0])
	}
	process := exec.CommandContext(ctx, command[0], command[1:]...)
	process.Stdout, process.Stderr = out, errOut
	stdin, err := process.StdinPipe()
	if err != nil {
		return err
	}
	if err := process.Start(); err != nil {
		return err
	}
	go func() {
		_, _ = io.Copy(stdin, in)
		_ = stdin.Close()
	}()
	err = process.Wait()
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		return utilexec.CodeExitError{Err: err, Code: exit.ExitCode()}
	}
	return err
}
