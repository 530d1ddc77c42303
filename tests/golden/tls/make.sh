#!/bin/sh
# Makes the stores of this folder anew, with keytool (JDK 17) and openssl (3.0). All hold one of two keys, and their
# password is `changeit`. The tests read the results; they run neither program.
set -eu
cd "$(dirname "$0")"
rm -f ./*.p12 ./*.jks ./*.jceks ./*.pem ./*.der
days=36500
pass=changeit
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# The stores that keytool writes, from one key on P-256 whose own certificate says CA:TRUE.
keytool -genkeypair -alias server -keyalg EC -groupname secp256r1 -validity $days -storetype PKCS12 \
    -dname 'CN=zk1.example.com, OU=Ring, O=Keeper, C=DE' -ext bc:c -ext san=dns:zk1.example.com,ip:127.0.0.1 \
    -keystore keytool.p12 -storepass $pass
keytool -exportcert -alias server -keystore keytool.p12 -storepass $pass -file ec.der
import() {
    keytool "$@" -importkeystore -srckeystore keytool.p12 -srcstorepass $pass -deststorepass $pass
}
import -deststoretype JKS -destkeystore keytool.jks
import -deststoretype JCEKS -destkeystore keytool.jceks
import -J-Dkeystore.pkcs12.legacy -deststoretype PKCS12 -destkeystore keytool_legacy.p12
for type in PKCS12 JKS; do
    file=trust_keytool.$(echo $type | sed 's/PKCS12/p12/; s/JKS/jks/')
    keytool -importcert -noprompt -alias server -file ec.der -storetype $type -keystore $file -storepass $pass
done

# The forms of OpenSSL, from the same key.
openssl x509 -inform DER -in ec.der -out cert_ec.pem
openssl pkcs12 -in keytool.p12 -passin pass:$pass -nocerts -nodes -out "$work/key.pem"
openssl pkcs8 -topk8 -nocrypt -in "$work/key.pem" -out "$work/pkcs8.pem"
openssl ec -in "$work/key.pem" -out "$work/sec1.pem"
pem() {
    name=$1
    shift
    "$@" -out "$work/out.pem"
    cat "$work/out.pem" cert_ec.pem > "$name.pem"
}
cat "$work/pkcs8.pem" cert_ec.pem > pkcs8.pem
cat cert_ec.pem "$work/sec1.pem" > sec1.pem
encrypt="openssl pkcs8 -topk8 -in $work/key.pem -passout pass:$pass"
pem pbes2 $encrypt
pem pbes2_sha1_des3 $encrypt -v2 des3 -v2prf hmacWithSHA1
pem pbes2_aes128_sha512 $encrypt -v2 aes-128-cbc -v2prf hmacWithSHA512
pem pbes2_scrypt $encrypt -scrypt
pem pbes1_3des $encrypt -v1 PBE-SHA1-3DES
pem pbes1_rc2_40 $encrypt -v1 PBE-SHA1-RC2-40 -provider legacy -provider default
pem pbes1_md5_des $encrypt -v1 PBE-MD5-DES -provider legacy -provider default
pem pbes1_sha1_des $encrypt -v1 PBE-SHA1-DES -provider legacy -provider default
pem traditional openssl ec -in "$work/key.pem" -aes128 -passout pass:$pass
export="openssl pkcs12 -export -inkey $work/key.pem -in cert_ec.pem -passout pass:$pass"
$export -out openssl.p12
$export -legacy -out openssl_legacy.p12
$export -nomac -out openssl_nomac.p12
$export -keypbe NONE -certpbe NONE -out openssl_plain.p12
openssl pkcs12 -export -inkey "$work/key.pem" -in cert_ec.pem -passout pass: -out openssl_empty.p12
openssl pkcs12 -export -nokeys -in cert_ec.pem -passout pass:$pass -out trust_openssl.p12

# PKCS#1, which RSA keys alone have, and a certificate of version 1 that the key above has issued.
openssl genrsa -traditional -out "$work/rsa.pem" 2048
openssl req -new -key "$work/rsa.pem" -subj '/CN=zk2.example.com/emailAddress=a@b.c' -out "$work/rsa.csr"
openssl x509 -req -in "$work/rsa.csr" -CA cert_ec.pem -CAkey "$work/key.pem" -set_serial 2 -days $days \
    -out "$work/rsa_cert.pem"
cat "$work/rsa.pem" "$work/rsa_cert.pem" > pkcs1_version1.pem
openssl x509 -in "$work/rsa_cert.pem" -outform DER -out rsa_version1.der

# Without a MAC and without encryption, so that a fuzzer reaches the structure.
openssl pkcs12 -export -inkey "$work/key.pem" -in cert_ec.pem -passout pass:$pass -nomac \
    -keypbe NONE -certpbe NONE -out openssl_open.p12

# A list with which the first key revokes two certificates, in version 2 and in the old version 1.
cat > "$work/ca.cnf" <<END
[ca]
default_ca = it
[it]
database = $work/index.txt
crlnumber = $work/number
default_md = sha256
default_crl_days = $days
END
grep -v crlnumber "$work/ca.cnf" > "$work/version1.cnf"
printf 'R\t21260101000000Z\t260101000000Z\t%s\tunknown\t/CN=old\n' 07 012C > "$work/index.txt"
echo 01 > "$work/number"
revoke="openssl ca -gencrl -cert cert_ec.pem -keyfile $work/key.pem"
$revoke -config "$work/ca.cnf" -out revoked.pem
$revoke -config "$work/version1.cnf" -out revoked_version1.pem
openssl crl -in revoked.pem -outform DER -out revoked.der
