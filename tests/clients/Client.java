// Java's HttpClient as it comes: it offers to upgrade to h2c. Prints a line for each response.
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublisher;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse.BodyHandlers;

public class Client {
    /** Arguments: the URL, the body of a POST, the query string of a GET, and headers with their values. */
    public static void main(String[] arguments) throws Exception {
        URI url = URI.create(arguments[0]);
        String body = arguments[1];
        HttpRequest.Builder request = HttpRequest.newBuilder(url)
            .header("Content-Type", "application/json");
        for (int index = 3; index < arguments.length; index += 2) {
            request.header(arguments[index], arguments[index + 1]);
        }
        HttpClient client = HttpClient.newHttpClient();
        BodyPublisher ofLength = BodyPublishers.ofString(body);
        BodyPublisher inChunks = BodyPublishers.fromPublisher(BodyPublishers.ofString(body));
        HttpRequest[] requests = {
            request.copy().POST(ofLength).build(),
            request.copy().POST(inChunks).build(),
            request.copy().uri(URI.create(url + "?" + arguments[2])).GET().build(),
            request.copy().POST(ofLength).build(),
        };
        for (HttpRequest each : requests) {
            var response = client.send(each, BodyHandlers.ofString());
            System.out.println(response.version() + " " + response.statusCode() + " " + response.body());
        }
    }
}
