package raypipe;

import java.io.IOException;
import java.net.InetSocketAddress;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Collections;
import java.util.List;
import java.util.Locale;
import java.util.Set;
import java.util.WeakHashMap;
import java.util.function.UnaryOperator;
import java.util.regex.Pattern;
import org.opensearch.common.util.concurrent.ThreadContext;
import org.opensearch.core.common.io.stream.NamedWriteableRegistry;
import org.opensearch.core.rest.RestStatus;
import org.opensearch.http.HttpChannel;
import org.opensearch.plugins.ActionPlugin;
import org.opensearch.plugins.NetworkPlugin;
import org.opensearch.plugins.Plugin;
import org.opensearch.rest.BytesRestResponse;
import org.opensearch.rest.RestChannel;
import org.opensearch.rest.RestHandler;
import org.opensearch.rest.RestRequest;
import org.opensearch.transport.TransportInterceptor;
import org.opensearch.transport.TransportRequest;
import org.opensearch.transport.TransportRequestHandler;
import org.opensearch.transport.client.node.NodeClient;

/**
 * Serves the user who runs the node, and nobody else.
 *
 * HTTP requests are refused if another user's process sent them, or if a browser sent them for a
 * page of another site. The transport port, which other nodes of a cluster would use, serves no
 * request at all. `python tools/build_guard.py` compiles this file into `loopback_guard.jar`.
 */
public final class LoopbackGuardModulePlugin extends Plugin implements ActionPlugin, NetworkPlugin {
    /** A page of another site cannot send such a host: its own name resolves to this address. */
    private static final Pattern LOOPBACK_HOST =
            Pattern.compile("(localhost|127\\.\\d+\\.\\d+\\.\\d+|\\[::1\\])(:\\d+)?");
    private static final List<String> TABLES = List.of("/proc/net/tcp", "/proc/net/tcp6");

    private final String user = effectiveUser();
    /** Open connections of this user. The kernel's table is read once for a connection. */
    private final Set<HttpChannel> allowed =
            Collections.synchronizedSet(Collections.newSetFromMap(new WeakHashMap<>()));

    @Override
    public UnaryOperator<RestHandler> getRestHandlerWrapper(ThreadContext context) {
        return GuardedHandler::new;
    }

    @Override
    public List<TransportInterceptor> getTransportInterceptors(
            NamedWriteableRegistry registry, ThreadContext context) {
        return List.of(new LocalRequestsOnly());
    }

    private final class GuardedHandler extends RestHandler.Wrapper {
        GuardedHandler(RestHandler handler) {
            super(handler);
        }

        @Override
        public void handleRequest(RestRequest request, RestChannel channel, NodeClient client)
                throws Exception {
            String refusal = refusal(request);
            if (refusal == null) {
                super.handleRequest(request, channel, client);
            } else {
                channel.sendResponse(
                        new BytesRestResponse(RestStatus.FORBIDDEN, "raypipe: " + refusal + "\n"));
            }
        }
    }

    /** Returns why a request is refused, or null. */
    private String refusal(RestRequest request) {
        String host = request.header("Host");
        if (host == null || !LOOPBACK_HOST.matcher(host.toLowerCase(Locale.ROOT)).matches()) {
            return "the Host header is no loopback address";
        }
        String site = request.header("Sec-Fetch-Site");
        if (request.header("Origin") != null
                || !(site == null || site.equals("none") || site.equals("same-origin"))) {
            return "this server does not answer web pages";
        }
        HttpChannel connection = request.getHttpChannel();
        if (allowed.contains(connection)) {
            return null;
        }
        if (!user.equals(owner(connection.getRemoteAddress(), connection.getLocalAddress()))) {
            return "this server answers the user who started it only";
        }
        allowed.add(connection);
        return null;
    }

    /**
     * Returns the user id of the process at the other end of a connection of this machine, or null.
     *
     * A socket that its process has closed has inode 0 and a user id that says nothing.
     */
    private static String owner(InetSocketAddress client, InetSocketAddress server) {
        String local = hex(client);
        String remote = hex(server);
        for (String table : TABLES) {
            try {
                for (String line : Files.readAllLines(Path.of(table))) {
                    if (!line.contains(local)) {
                        continue;
                    }
                    String[] fields = line.strip().split("\\s+");
                    if (fields.length > 9
                            && fields[1].endsWith(local)
                            && fields[2].endsWith(remote)
                            && !fields[9].equals("0")) {
                        return fields[7];
                    }
                }
            } catch (IOException e) {
                // A kernel without IPv6 has no second table.
            }
        }
        return null;
    }

    /** Formats an address as the kernel's tables do; IPv6 forms of IPv4 addresses end with it. */
    private static String hex(InetSocketAddress address) {
        ByteBuffer bytes = ByteBuffer.wrap(address.getAddress().getAddress());
        int last = bytes.order(ByteOrder.nativeOrder()).getInt(bytes.limit() - Integer.BYTES);
        return String.format(Locale.ROOT, "%08X:%04X", last, address.getPort());
    }

    private static String effectiveUser() {
        try {
            for (String line : Files.readAllLines(Path.of("/proc/self/status"))) {
                if (line.startsWith("Uid:")) {
                    return line.split("\\s+")[2];
                }
            }
        } catch (IOException e) {
            throw new IllegalStateException("the user of this process is not known", e);
        }
        throw new IllegalStateException("the user of this process is not known");
    }

    private static final class LocalRequestsOnly implements TransportInterceptor {
        @Override
        public <T extends TransportRequest> TransportRequestHandler<T> interceptHandler(
                String action,
                String executor,
                boolean force,
                TransportRequestHandler<T> handler) {
            return (request, channel, task) -> {
                if (!channel.getChannelType().equals("direct")) {
                    throw new SecurityException("raypipe: this node has no peers");
                }
                handler.messageReceived(request, channel, task);
            };
        }
    }
}
