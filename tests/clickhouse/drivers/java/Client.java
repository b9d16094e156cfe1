// ClickHouse's JDBC driver with its defaults, as Metabase, DBeaver and Tableau use it.

import java.sql.Connection;
import java.sql.DatabaseMetaData;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.ArrayList;
import java.util.List;
import java.util.Properties;

public class Client {
  private static final String[] VIEWS = {
    "logregels", "schrijvers", "verwerkingsactiviteiten", "verwerkingsactiviteit_versies", "verwijderingen", "koppelingen"
  };

  public static void main(String[] arguments) throws SQLException {
    Properties properties = new Properties();
    properties.setProperty("user", "default");
    properties.setProperty("password", arguments[1]);
    List<String> members = new ArrayList<>();
    try (Connection connection =
        DriverManager.getConnection("jdbc:clickhouse://127.0.0.1:" + arguments[0] + "/ldv", properties)) {
      DatabaseMetaData metadata = connection.getMetaData();
      members.add("\"version\": \"" + metadata.getDatabaseProductVersion() + "\"");
      members.add("\"tables\": " + names(metadata.getTables(null, "ldv", "%", null), "TABLE_NAME"));
      members.add("\"columns\": " + names(metadata.getColumns(null, "ldv", "logregels", "%"), "COLUMN_NAME"));
      try (Statement statement = connection.createStatement()) {
        List<String> counts = new ArrayList<>();
        for (String view : VIEWS) {
          counts.add("\"" + view + "\": " + rows(statement.executeQuery("SELECT * FROM " + view)));
        }
        members.add("\"rows\": {" + String.join(", ", counts) + "}");
        members.add("\"large\": " + rows(statement.executeQuery("SELECT number FROM numbers(300000)")));
        members.add("\"unknown\": \"" + error(statement, "SELECT * FROM nothing") + "\"");
        members.add(
            "\"midway\": \"" + error(statement, "SELECT throwIf(number = 900000) FROM numbers(1000000)") + "\"");
        members.add("\"temporary\": \"" + error(statement, "CREATE TEMPORARY TABLE x (a UInt8)") + "\"");
        statement.execute("CREATE TABLE of_java (a UInt64, b String) ENGINE = MergeTree ORDER BY a");
        statement.executeUpdate("INSERT INTO of_java (a, b) VALUES (1, 'x'), (2, 'y')");
      }
      try (PreparedStatement insert = connection.prepareStatement("INSERT INTO of_java (a, b) VALUES (?, ?)")) {
        for (int number = 10; number < 13; number++) {
          insert.setLong(1, number);
          insert.setString(2, "\n\n'" + number);
          insert.addBatch();
        }
        insert.executeBatch();
      }
      try (PreparedStatement select = connection.prepareStatement("SELECT count() FROM of_java WHERE a >= ?")) {
        select.setLong(1, 2);
        ResultSet result = select.executeQuery();
        result.next();
        members.add("\"inserted\": " + result.getLong(1));
      }
    }
    System.out.println("{" + String.join(", ", members) + "}");
  }

  private static String names(ResultSet result, String column) throws SQLException {
    List<String> names = new ArrayList<>();
    while (result.next()) {
      names.add("\"" + result.getString(column) + "\"");
    }
    return names.toString();
  }

  private static int rows(ResultSet result) throws SQLException {
    int count = 0;
    while (result.next()) {
      for (int column = 1; column <= result.getMetaData().getColumnCount(); column++) {
        result.getObject(column);
      }
      count++;
    }
    return count;
  }

  private static String error(Statement statement, String sql) {
    try {
      return "no error after " + rows(statement.executeQuery(sql)) + " rows";
    } catch (SQLException error) {
      return String.valueOf(error.getMessage()).replaceAll("[^A-Za-z0-9_ .:]", " ");
    }
  }
}
