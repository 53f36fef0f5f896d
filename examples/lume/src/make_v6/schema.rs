//! The tables of a V6 store, in the layout that SwiftData writes: matched by name, not by position.

use outbox_runtime::rusqlite::{self, Connection, params};

/// The number of a model entity: its alphabetical position.
pub(super) mod ent {
    pub(in crate::make_v6) const CONVERSATION: i64 = 2;
    pub(in crate::make_v6) const MESSAGE: i64 = 3;
    pub(in crate::make_v6) const GOAL: i64 = 5;
    pub(in crate::make_v6) const JOURNAL: i64 = 7;
    pub(in crate::make_v6) const MOOD: i64 = 8;
    pub(in crate::make_v6) const OUTBOX: i64 = 9;
}

/// All entities of the model, and those of the persistent history, which SwiftData always keeps.
const ENTITIES: [(i64, &str, &str); 14] = [
    (1, "SDAIInsight", "ZSDAIINSIGHT"),
    (
        ent::CONVERSATION,
        "SDChatConversation",
        "ZSDCHATCONVERSATION",
    ),
    (ent::MESSAGE, "SDChatMessage", "ZSDCHATMESSAGE"),
    (4, "SDDietaryPreferences", "ZSDDIETARYPREFERENCES"),
    (ent::GOAL, "SDGoal", "ZSDGOAL"),
    (6, "SDGoalTipCache", "ZSDGOALTIPCACHE"),
    (ent::JOURNAL, "SDJournalEntry", "ZSDJOURNALENTRY"),
    (ent::MOOD, "SDMoodEntry", "ZSDMOODENTRY"),
    (ent::OUTBOX, "SDOutboxEvent", "ZSDOUTBOXEVENT"),
    (10, "SDStatistics", "ZSDSTATISTICS"),
    (11, "SDUserProfile", "ZSDUSERPROFILE"),
    (16_001, "CHANGE", "ACHANGE"),
    (16_002, "TRANSACTION", "ATRANSACTION"),
    (16_003, "TRANSACTIONSTRING", "ATRANSACTIONSTRING"),
];

/// No column is NOT NULL and none has a default: the model, not the file, says what is mandatory.
const TABLES: &str = "
CREATE TABLE ZSDOUTBOXEVENT ( Z_PK INTEGER PRIMARY KEY, Z_ENT INTEGER, Z_OPT INTEGER, ZRETRYCOUNT INTEGER,
    ZCOMPLETEDAT TIMESTAMP, ZCREATEDAT TIMESTAMP, ZLASTATTEMPTAT TIMESTAMP, ZERRORMESSAGE VARCHAR, ZEVENTTYPE VARCHAR,
    ZSTATUS VARCHAR, ZID BLOB, ZPAYLOAD BLOB );
CREATE TABLE ZSDMOODENTRY ( Z_PK INTEGER PRIMARY KEY, Z_ENT INTEGER, Z_OPT INTEGER, ZCREATEDAT TIMESTAMP, ZDATE TIMESTAMP,
    ZUPDATEDAT TIMESTAMP, ZVALENCE FLOAT, ZBACKENDID VARCHAR, ZNOTES VARCHAR, ZSOURCE VARCHAR, ZSOURCEID VARCHAR,
    ZID BLOB, ZUSERID BLOB, ZLABELS BLOB, ZASSOCIATIONS BLOB );
CREATE TABLE ZSDJOURNALENTRY ( Z_PK INTEGER PRIMARY KEY, Z_ENT INTEGER, Z_OPT INTEGER, ZISFAVORITE INTEGER,
    ZCREATEDAT TIMESTAMP, ZDATE TIMESTAMP, ZUPDATEDAT TIMESTAMP, ZBACKENDID VARCHAR, ZCONTENT VARCHAR, ZENTRYTYPE VARCHAR,
    ZTITLE VARCHAR, ZID BLOB, ZLINKEDMOODID BLOB, ZUSERID BLOB, ZTAGS BLOB );
CREATE TABLE ZSDGOAL ( Z_PK INTEGER PRIMARY KEY, Z_ENT INTEGER, Z_OPT INTEGER, ZCREATEDAT TIMESTAMP,
    ZTARGETDATE TIMESTAMP, ZUPDATEDAT TIMESTAMP, ZCURRENTVALUE FLOAT, ZPROGRESS FLOAT, ZTARGETVALUE FLOAT,
    ZBACKENDID VARCHAR, ZCATEGORY VARCHAR, ZGOALDESCRIPTION VARCHAR, ZSTATUS VARCHAR, ZTARGETUNIT VARCHAR, ZTITLE VARCHAR,
    ZID BLOB, ZUSERID BLOB );
CREATE TABLE ZSDCHATCONVERSATION ( Z_PK INTEGER PRIMARY KEY, Z_ENT INTEGER, Z_OPT INTEGER, ZISARCHIVED INTEGER,
    ZCREATEDAT TIMESTAMP, ZUPDATEDAT TIMESTAMP, ZBACKENDID VARCHAR, ZPERSONA VARCHAR, ZTITLE VARCHAR, ZID BLOB,
    ZUSERID BLOB, ZRELATEDGOALID BLOB );
CREATE TABLE ZSDCHATMESSAGE ( Z_PK INTEGER PRIMARY KEY, Z_ENT INTEGER, Z_OPT INTEGER, ZCONVERSATION INTEGER,
    ZTIMESTAMP TIMESTAMP, ZCONTENT VARCHAR, ZROLE VARCHAR, ZID BLOB );
CREATE INDEX ZSDCHATMESSAGE_ZCONVERSATION_INDEX ON ZSDCHATMESSAGE (ZCONVERSATION);
CREATE TABLE ZSDUSERPROFILE ( Z_PK INTEGER PRIMARY KEY, Z_ENT INTEGER, Z_OPT INTEGER, ZCREATEDAT TIMESTAMP,
    ZUPDATEDAT TIMESTAMP, ZNAME VARCHAR, ZID BLOB, ZUSERID BLOB );
CREATE TABLE ZSDAIINSIGHT ( Z_PK INTEGER PRIMARY KEY, Z_ENT INTEGER, Z_OPT INTEGER, ZCONTENT VARCHAR, ZID BLOB );
CREATE TABLE ZSDDIETARYPREFERENCES ( Z_PK INTEGER PRIMARY KEY, Z_ENT INTEGER, Z_OPT INTEGER, ZID BLOB );
CREATE TABLE ZSDGOALTIPCACHE ( Z_PK INTEGER PRIMARY KEY, Z_ENT INTEGER, Z_OPT INTEGER, ZID BLOB, ZTIPS BLOB );
CREATE TABLE ZSDSTATISTICS ( Z_PK INTEGER PRIMARY KEY, Z_ENT INTEGER, Z_OPT INTEGER, ZID BLOB );
CREATE TABLE Z_PRIMARYKEY (Z_ENT INTEGER PRIMARY KEY, Z_NAME VARCHAR, Z_SUPER INTEGER, Z_MAX INTEGER);
CREATE TABLE Z_METADATA (Z_VERSION INTEGER PRIMARY KEY, Z_UUID VARCHAR(255), Z_PLIST BLOB);
CREATE TABLE Z_MODELCACHE (Z_CONTENT BLOB);
CREATE TABLE ACHANGE ( Z_PK INTEGER PRIMARY KEY, Z_ENT INTEGER, Z_OPT INTEGER, ZCHANGETYPE INTEGER, ZENTITY INTEGER,
    ZENTITYPK INTEGER, ZTRANSACTIONID INTEGER, ZCOLUMNS BLOB );
CREATE TABLE ATRANSACTION ( Z_PK INTEGER PRIMARY KEY, Z_ENT INTEGER, Z_OPT INTEGER, ZAUTHORTS INTEGER,
    ZBUNDLEIDTS INTEGER, ZCONTEXTNAMETS INTEGER, ZPROCESSIDTS INTEGER, ZTIMESTAMP FLOAT, ZAUTHOR VARCHAR,
    ZBUNDLEID VARCHAR, ZCONTEXTNAME VARCHAR, ZPROCESSID VARCHAR, ZQUERYGEN BLOB );
CREATE TABLE ATRANSACTIONSTRING ( Z_PK INTEGER PRIMARY KEY, Z_ENT INTEGER, Z_OPT INTEGER, ZNAME VARCHAR );
";

/// The store's property list in its XML form, which Core Data reads like the binary one.
const PLIST: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">
<plist version="1.0"><dict>
<key>NSPersistenceFrameworkVersion</key><integer>1414</integer>
<key>NSStoreModelVersionHashesVersion</key><integer>3</integer>
<key>NSStoreModelVersionIdentifiers</key><array><string>6.0.0</string></array>
<key>NSStoreType</key><string>SQLite</string>
<key>_NSAutoVacuumLevel</key><string>2</string>
</dict></plist>
"#;

/// Builds the file as SwiftData would. `store_id` is the store's UUID.
pub(super) fn create(conn: &Connection, store_id: &str) -> rusqlite::Result<()> {
    conn.pragma_update(None, "page_size", 4096)?;
    conn.pragma_update(None, "auto_vacuum", 2)?;
    conn.pragma_update(None, "journal_mode", "WAL")?;
    // Durability is unnecessary: an interrupted generator is run again.
    conn.pragma_update(None, "synchronous", "OFF")?;
    conn.execute_batch(TABLES)?;
    conn.execute(
        "INSERT INTO Z_METADATA VALUES (1, ?1, ?2)",
        params![store_id, PLIST.as_bytes()],
    )?;
    Ok(())
}

/// Records the largest key of each table and a history transaction, as SwiftData does on save.
pub(super) fn finish(conn: &Connection) -> rusqlite::Result<()> {
    conn.execute_batch(
        "INSERT OR IGNORE INTO ATRANSACTIONSTRING VALUES (1, 16003, 1, 'com.lume.app');
         INSERT OR IGNORE INTO ATRANSACTION (Z_PK, Z_ENT, Z_OPT, ZBUNDLEIDTS, ZTIMESTAMP) VALUES (1, 16002, 1, 1, 758550600.5);
         INSERT OR IGNORE INTO ACHANGE VALUES (1, 16001, 1, 0, 9, 1, 1, NULL);",
    )?;
    for (number, name, table) in ENTITIES {
        conn.execute(
            &format!(
                "INSERT OR REPLACE INTO Z_PRIMARYKEY SELECT ?1, ?2, 0, coalesce(max(Z_PK), 0) FROM {table}"
            ),
            params![number, name],
        )?;
    }
    Ok(())
}
