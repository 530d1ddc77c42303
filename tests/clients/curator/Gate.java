import java.io.IOException;
import java.io.InputStream;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.util.HashSet;
import java.util.Set;

/** A way to the server that can be shut and opened: what lies between a client and a server when the network fails. */
final class Gate implements AutoCloseable {
    private final InetSocketAddress server;
    private final ServerSocket listener;
    private final Set<Socket> sockets = new HashSet<>();
    private boolean open = true;

    Gate(String address) throws IOException {
        int colon = address.lastIndexOf(':');
        server = new InetSocketAddress(address.substring(0, colon), Integer.parseInt(address.substring(colon + 1)));
        listener = new ServerSocket(0, 50, InetAddress.getLoopbackAddress());
        start("gate", this::accept);
    }

    /** Where clients connect to. */
    String address() {
        return "127.0.0.1:" + listener.getLocalPort();
    }

    /** Breaks every connection, and lets no new one through. */
    synchronized void shut() {
        open = false;
        sockets.forEach(Gate::closeQuietly);
        sockets.clear();
    }

    /** Lets connections through again. */
    synchronized void open() {
        open = true;
    }

    @Override
    public void close() {
        shut();
        try {
            listener.close();
        } catch (IOException ignored) {
            // Nothing listens any more, which was the aim.
        }
    }

    private void accept() {
        while (!listener.isClosed()) {
            try {
                Socket client = listener.accept();
                if (!admit(client)) {
                    client.close();
                }
            } catch (IOException refused) {
                // The server is down or the gate was closed; the client sees its connection end.
            }
        }
    }

    private synchronized boolean admit(Socket client) throws IOException {
        if (!open) {
            return false;
        }
        Socket onward = new Socket();
        onward.connect(server);
        sockets.add(client);
        sockets.add(onward);
        start("gate in", () -> copy(client, onward));
        start("gate out", () -> copy(onward, client));
        return true;
    }

    private static void copy(Socket from, Socket to) {
        try {
            InputStream input = from.getInputStream();
            input.transferTo(to.getOutputStream());
        } catch (IOException broken) {
            // Either end may break at any time; then both end.
        }
        closeQuietly(from);
        closeQuietly(to);
    }

    private static void closeQuietly(Socket socket) {
        try {
            socket.close();
        } catch (IOException ignored) {
            // It is gone either way.
        }
    }

    private static void start(String name, Runnable work) {
        Thread thread = new Thread(work, name);
        thread.setDaemon(true);
        thread.start();
    }
}
