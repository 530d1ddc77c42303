import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import org.apache.curator.framework.CuratorFramework;
import org.apache.curator.framework.CuratorFrameworkFactory;
import org.apache.curator.retry.RetryNTimes;
import org.apache.curator.utils.CloseableUtils;

/** Makes the clients of one recipe, and closes them after it. */
final class Clients implements AutoCloseable {
    static final int SESSION_TIMEOUT_MS = 5_000;
    private static final int CONNECTION_TIMEOUT_MS = 15_000;

    final String address;
    /** The recipe's own part of the tree. Nothing is there yet. */
    final String root;
    private final List<CuratorFramework> open = new ArrayList<>();

    Clients(String address, String root) {
        this.address = address;
        this.root = root.replace(' ', '_');
    }

    /** Another client with a session of its own, connected. */
    synchronized CuratorFramework client() throws InterruptedException {
        return started(builder());
    }

    synchronized CuratorFramework started(CuratorFrameworkFactory.Builder builder) throws InterruptedException {
        CuratorFramework client = builder.build();
        open.add(client);
        client.start();
        Check.that(client.blockUntilConnected(20, java.util.concurrent.TimeUnit.SECONDS), "connected");
        return client;
    }

    CuratorFrameworkFactory.Builder builder() {
        return CuratorFrameworkFactory.builder()
                .connectString(address)
                .sessionTimeoutMs(SESSION_TIMEOUT_MS)
                .connectionTimeoutMs(CONNECTION_TIMEOUT_MS)
                .retryPolicy(new RetryNTimes(10, 200));
    }

    String path(String child) {
        return root + "/" + child;
    }

    static byte[] bytes(String text) {
        return text.getBytes(StandardCharsets.UTF_8);
    }

    static String text(byte[] bytes) {
        return new String(bytes, StandardCharsets.UTF_8);
    }

    @Override
    public synchronized void close() {
        open.forEach(CloseableUtils::closeQuietly);
    }
}
